# One image for web, worker and schedule; docker-compose.yml says who does what.
FROM python:3.11-slim-bookworm
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 STATIC_ROOT=/srv/habeas/staticfiles DATA_DIR=/data
WORKDIR /srv/habeas

COPY requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt

COPY manage.py ./
COPY config config
COPY apps apps
COPY templates templates
COPY static static
COPY locale locale
COPY verify verify

# The settings want keys; these are gone with the layer's shell.
RUN SECRET_KEY=build LOG_SIGNING_KEY="$(head -c 32 /dev/urandom | base64)" ARCHIVE_SIGNING_KEY="$(head -c 32 /dev/urandom | base64)" \
    DATA_DIR=/tmp/build python manage.py collectstatic --noinput --verbosity 0 && rm -rf /tmp/build

RUN useradd --system --uid 10001 --home-dir /data habeas && install -d -o habeas -g habeas -m 700 /data
USER habeas
VOLUME /data
EXPOSE 8000
CMD ["python", "-m", "uvicorn", "config.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--log-level", "warning", "--lifespan", "off"]
