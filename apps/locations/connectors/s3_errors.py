"""S3's errors as those of a place, without its words: they can hold keys and names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apps.locations.errors import LocationError, Refused, Unavailable
from apps.locations.said import said as _

UNAVAILABLE_CODES = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "503", "500", "502", "504"}
NOT_DONE_CODES = {"NoSuchKey", "NoSuchVersion"}  # there was nothing to delete
GONE = frozenset({404, 405})  # 405: it is a delete marker
NOT_THERE = frozenset({400, 404, 405, 501})  # a setting that a bucket does not have or a store does not know


@contextmanager
def foreign_errors(*, missing_is_fine: bool = False) -> Iterator[None]:
    """Turn the provider's errors into ours."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except LocationError:
        raise
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = status_of(error)
        if missing_is_fine and status == 404:
            return
        if (
            code in UNAVAILABLE_CODES
            or status >= 500
            or status in {409, 412, 429}
            or (status == 404 and code in {"NoSuchKey", "404"})
        ):
            raise Unavailable(_("The bucket cannot answer just now (%(code)s).") % {"code": code}) from None
        raise Refused(
            _("The bucket refuses us (%(code)s): check its name, the keys and the permissions.") % {"code": code}
        ) from None
    except BotoCoreError as error:
        if isinstance(said := error.kwargs.get("error"), LocationError):  # by answers.py, within the client
            raise said from None
        if type(error).__name__ in {"NoCredentialsError", "ParamValidationError", "InvalidRegionError"}:
            raise Refused(_("The bucket's settings are not complete or not valid.")) from None
        raise Unavailable(_("The bucket does not answer.")) from None
    except ValueError:
        raise Refused(_("The address of the bucket is not valid.")) from None


def status_of(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def optional(client: Any, call: str, *, not_there: frozenset[int] = NOT_THERE, **arguments: Any) -> dict[str, Any]:
    """Ask for what may not be there, an object or a setting; then the answer is empty. A bucket that is not there raises."""
    from botocore.exceptions import ClientError

    with foreign_errors():
        try:
            answer: dict[str, Any] = getattr(client, call)(**arguments)
        except ClientError as error:
            if status_of(error) in not_there and error.response.get("Error", {}).get("Code") != "NoSuchBucket":
                return {}
            raise
    return answer
