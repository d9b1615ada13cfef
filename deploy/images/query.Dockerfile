# Serves timelines over HTTP, and the dashboard. No decoder, no net.
# docker build --build-arg PYTHON_DIGEST=sha256:… -f deploy/images/query.Dockerfile -t mien-query .   (docs/deploy.md)
# The digest has no default: an image is built on a base that somebody chose, or not at all.
ARG PYTHON_TAG=3.11-slim-bookworm
ARG PYTHON_DIGEST

FROM docker.io/library/python:${PYTHON_TAG}@${PYTHON_DIGEST} AS build
ARG UV_VERSION=0.13.9
RUN pip install --no-cache-dir "uv==${UV_VERSION}"
WORKDIR /build
COPY deploy/images/install.sh deploy/images/query.txt constraints.txt ./
COPY dist/*.whl dist/
RUN --mount=type=cache,target=/root/.cache/uv ./install.sh query /opt/mien dist/*.whl

FROM docker.io/library/python:${PYTHON_TAG}@${PYTHON_DIGEST}
LABEL org.opencontainers.image.title="mien-query" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/mien /opt/mien
# The root may be read-only: nothing is written but below /tmp.
ENV PATH=/opt/mien/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
ENTRYPOINT ["python", "-m", "query"]
