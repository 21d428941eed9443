# Two images: `app`, the service, and `operator`.
#   docker build --target app --tag leaderboard-app:0.1.0 .
#   docker build --target operator --tag leaderboard-operator:0.1.0 .
# Both run as user 65532 on a read-only root. Neither contains a MongoDB, pip, or unneeded files.

# Any Debian with Python 3.11 or newer as python3, the same for building and for running.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
# Debian's own Python comes without venv, that of the python images has it.
RUN python3 -c 'import ensurepip, venv' 2>/dev/null || { \
        apt-get update && apt-get install --yes --no-install-recommends python3-venv; }
RUN python3 -m venv /opt/tools && python3 -m venv --without-pip /opt/leaderboard
WORKDIR /src
COPY constraints.txt pyproject.toml setup.cfg README.md LICENSE ./
COPY leaderboard_logs leaderboard_logs
COPY tornado_app tornado_app
COPY clients/js/src clients/js/src
COPY operator operator
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=/src/constraints.txt

FROM build AS build-app
RUN /opt/tools/bin/pip --python /opt/leaderboard/bin/python install '.[tracing]'

# The operator connects to no database and draws on no terminal: its image contains no driver and no rich.
FROM build-app AS build-operator
RUN /opt/tools/bin/pip --python /opt/leaderboard/bin/python install '.[operator]' \
    && /opt/tools/bin/pip --python /opt/leaderboard/bin/python uninstall --yes \
        pymongo dnspython rich pygments markdown-it-py mdurl

FROM ${BASE} AS run
ENV PATH=/opt/leaderboard/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that Kubernetes can check that it is not root.
USER 65532:65532
WORKDIR /tmp

FROM run AS app
LABEL org.opencontainers.image.title="leaderboard-app" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-app /opt/leaderboard /opt/leaderboard
EXPOSE 8000 8001
ENTRYPOINT ["leaderboard"]
# Every interface, IPv6 and IPv4.
CMD ["serve", "--host=::"]

FROM run AS operator
LABEL org.opencontainers.image.title="leaderboard-operator" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-operator /opt/leaderboard /opt/leaderboard
EXPOSE 8080 8081
ENTRYPOINT ["leaderboard-operator"]
CMD ["run"]
