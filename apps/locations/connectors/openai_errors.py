"""OpenAI's errors as those of a place, without its words: they can hold content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from apps.locations.connectors.openai_objects import is_gone
from apps.locations.errors import LocationError, Refused, Unavailable
from apps.locations.outside import retry_after
from apps.locations.said import said as _


@contextmanager
def foreign_errors(*, missing_is_fine: bool = False) -> Iterator[None]:
    """Turn the client's errors into ours."""
    import openai

    try:
        yield
    except LocationError:
        raise
    except openai.NotFoundError as error:
        if missing_is_fine and is_gone(error):
            return
        raise Refused(_("There is no such address at the provider: check the base address.")) from None
    except openai.APIStatusError as error:
        if error.status_code in {408, 409, 429} or error.status_code >= 500:
            raise Unavailable(
                _("The provider cannot answer just now (%(code)s).") % {"code": error.status_code},
                retry_after=retry_after(error.response.headers),
            ) from None
        if missing_is_fine and error.status_code == 400 and error.param and str(error.param).endswith("_id"):
            return  # an id of a form that the provider has never given out
        raise Refused(
            _("The provider refuses us (%(code)s): check the key, the address and the permissions.")
            % {"code": error.status_code}
        ) from None
    except openai.APIResponseValidationError:
        raise Refused(_("The server does not speak OpenAI's protocol: check the address.")) from None
    except openai.APIError as error:
        if isinstance(error.__cause__, LocationError):  # by deadlines.py, within the client
            raise error.__cause__ from None
        raise Unavailable(_("The provider does not answer.")) from None
    except (openai.OpenAIError, ValueError):
        raise Refused(_("The settings of the place are not complete or not valid.")) from None
