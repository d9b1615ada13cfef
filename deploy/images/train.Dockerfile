# Trains, measures and exports nets (torch). A batch job: it has no port and no health page.
# docker build --build-arg PYTHON_DIGEST=sha256:… -f deploy/images/train.Dockerfile -t mien-train .   (docs/deploy.md)
# The digest has no default: an image is built on a base that somebody chose, or not at all.
ARG PYTHON_TAG=3.11-slim-bookworm
ARG PYTHON_DIGEST

FROM docker.io/library/python:${PYTHON_TAG}@${PYTHON_DIGEST} AS build
ARG UV_VERSION=0.13.9
RUN pip install --no-cache-dir "uv==${UV_VERSION}"
WORKDIR /build
COPY deploy/images/install.sh deploy/images/query.txt constraints.txt ./
COPY dist/*.whl dist/
RUN --mount=type=cache,target=/root/.cache/uv ./install.sh train /opt/mien dist/*.whl

FROM docker.io/library/python:${PYTHON_TAG}@${PYTHON_DIGEST}
LABEL org.opencontainers.image.title="mien-train" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/mien /opt/mien
# The root may be read-only: nothing is written but below /tmp and /work, where the data and runs are mounted.
ENV PATH=/opt/mien/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LOGNAME=mien \
    MPLCONFIGDIR=/tmp/matplotlib \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
VOLUME ["/work"]
WORKDIR /work
HEALTHCHECK NONE
ENTRYPOINT ["mien"]
CMD ["train", "list"]
