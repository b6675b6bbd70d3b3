# The server of a bundle (`docker build --tag seglab-serve .`), and the same for AWS Lambda
# (`--target lambda`). Neither has torch: what is installed stands in scripts/container/.
FROM docker.io/library/python:3.11-slim-bookworm AS base
ENV PATH=/opt/seglab/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
COPY constraints.txt ./
COPY scripts/container/requirements.txt scripts/container/
# The environment has no pip of its own; that of the base fills it.
RUN python -m venv --without-pip /opt/seglab \
    && pip --python /opt/seglab/bin/python install --constraint constraints.txt \
        --requirement scripts/container/requirements.txt \
    && find /opt/seglab -type d -name tests -prune -exec rm -r {} +
COPY pyproject.toml README.md LICENSE ./
COPY conf conf
COPY template template
COPY seglab seglab
RUN PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
    pip --python /opt/seglab/bin/python install --no-deps .

FROM build AS build-lambda
COPY scripts/container/requirements-lambda.txt scripts/container/
RUN pip --python /opt/seglab/bin/python install --constraint constraints.txt \
    --requirement scripts/container/requirements-lambda.txt

FROM base AS lambda
COPY --from=build-lambda /opt/seglab /opt/seglab
# Lambda runs every function as a user of its own that may write to /tmp alone; this is for elsewhere.
USER 10001:10001
ENV SEGLAB_SERVE_OPTIONS='{"bundle": "/bundle"}'
ENTRYPOINT ["python", "-m", "awslambdaric"]
CMD ["seglab.serve.process.awslambda.handler"]

FROM base AS server
RUN groupadd --gid 10001 seglab \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin seglab \
    && install -d -o seglab -g seglab /log
COPY --from=build /opt/seglab /opt/seglab
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
# SIGTERM drains: give it `drain` and 5 seconds more (docker stop --time 40).
STOPSIGNAL SIGTERM
ENTRYPOINT ["seglab"]
CMD ["serve", "bundle=/bundle", "host=0.0.0.0"]
