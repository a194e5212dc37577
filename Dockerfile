# One image for everything; the command chooses the program:
#
#     docker build -t nsq-trio .
#     docker run nsq-trio nsqlookupd
#     docker run -v nsq:/data nsq-trio nsqd --lookupd-tcp-address=lookup:4160
#
# BUILD_IMAGE has Python 3.11 or later and a C compiler, BASE_IMAGE the same Python at the same place. Without access
# to a package index put the wheels of requirements/build.txt and run.txt (pip download) into the folder wheels/: they are
# used instead.
ARG BASE_IMAGE=python:3.13-slim
ARG BUILD_IMAGE=python:3.13

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# What is installed changes less often than the sources: a layer of its own. Versions and hashes are those of requirements/;
# wheels/ need not exist.
COPY requirements/build.txt requirements/run.txt wheel[s] wheels/
RUN python3 -m venv /opt/nsq \
    && if ls wheels/*.whl >/dev/null 2>&1; then \
           printf '[global]\nno-index = true\nfind-links = /build/wheels\n' > /opt/nsq/pip.conf; \
       fi \
    && /opt/nsq/bin/pip install --require-hashes -r wheels/run.txt \
    && python3 -m venv /opt/build \
    && if [ -e /opt/nsq/pip.conf ]; then cp /opt/nsq/pip.conf /opt/build/; fi \
    && /opt/build/bin/pip install --require-hashes -r wheels/build.txt
# All that .dockerignore lets in. A missing compiler only costs speed elsewhere; here it fails the build. Then away with
# what does not run.
COPY . .
RUN /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir dist . \
    && /opt/nsq/bin/pip install --no-deps dist/*.whl \
    && /opt/nsq/bin/python -c 'from nsqcore import forms; assert forms.is_compiled(), "no speed-ups"' \
    && /opt/nsq/bin/pip uninstall --yes --quiet setuptools pip \
    && rm -f /opt/nsq/pip.conf \
    && cp deploy/docker/nsqd-slot deploy/docker/nsq-secrets /opt/nsq/bin/ \
    && cc -O2 -o /opt/nsq/bin/nsq-health deploy/docker/nsq-health.c

FROM ${BASE_IMAGE}
RUN groupadd --gid 4150 nsq \
    && useradd --uid 4150 --gid nsq --home-dir /data --no-create-home --shell /usr/sbin/nologin nsq \
    && install -d -o nsq -g nsq /data
ENV PATH=/opt/nsq/bin:$PATH PYTHONUNBUFFERED=1 NSQD_DATA_PATH=/data
USER nsq
WORKDIR /data
# nsqd: 4150 TCP, 4151 HTTP, 4152 HTTPS; nsqlookupd: 4160 TCP, 4161 HTTP; nsqadmin: 4171
EXPOSE 4150 4151 4152 4160 4161 4171
# Patient: on a busy host an answer may take seconds, and nothing is gained by being sick meanwhile.
HEALTHCHECK --interval=5s --timeout=10s --start-period=30s --retries=6 CMD ["nsq-health"]
# The program is process 1 (no shell in between), so that it gets the signals of `docker stop`.
STOPSIGNAL SIGTERM
CMD ["nsqd"]
# Last, so that a change of the sources repeats this step alone.
COPY --from=build /opt/nsq /opt/nsq
