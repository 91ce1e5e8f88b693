# One file for the CPU and the CUDA image; the classic builder and BuildKit both take it, on amd64 and arm64.
#
#   docker build -t dmsr:cpu .                           PyTorch's CPU build
#   docker build -t dmsr:cuda --build-arg TORCH=cuda .   PyTorch with NVIDIA's libraries
#
# The base is named by digest and every package by hash (deploy/image/lock writes the locks), so that a build brings in
# nothing that nobody has looked at. The locks are for Python 3.11.
ARG PYTHON_IMAGE=python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7

FROM ${PYTHON_IMAGE} AS libraries
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# Tools have an environment of their own, so that none of them, pip included, is in the one that is shipped.
RUN python -m venv /tools && python -m venv --without-pip /venv
WORKDIR /build
COPY deploy/image/tools.txt ./
RUN /tools/bin/pip install --require-hashes --no-deps --requirement tools.txt
# cpu or cuda; TORCH_INDEX is where the builds of torch-cpu.txt are, and the hashes say which ones.
ARG TORCH=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY deploy/image/torch-cpu.txt deploy/image/torch-cuda.txt ./
RUN [ "$TORCH" = cpu ] || TORCH_INDEX= \
    && /tools/bin/pip --python /venv/bin/python install --require-hashes --no-deps --requirement "torch-$TORCH.txt" \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
    # What only compilers and torch's own tests read; without the manager of shared memory torch does not start.
    && cd /venv/lib/python3*/site-packages/torch && rm -rf include share test \
    && find bin -type f ! -name torch_shm_manager -delete
COPY deploy/image/libraries.txt ./
RUN /tools/bin/pip --python /venv/bin/python install --require-hashes --no-deps --requirement libraries.txt \
    && /tools/bin/pip --python /venv/bin/python check

FROM libraries AS code
COPY LICENSE README.md pyproject.toml ./
COPY app app
COPY model model
RUN /tools/bin/pip --python /venv/bin/python install --no-deps --no-build-isolation --target /dmsr .
COPY weights /dmsr/weights
# What is inside, as CycloneDX. And files of a clone under umask 077 are for their owner alone, who is not the image's user.
RUN /tools/bin/cyclonedx-py environment --output-reproducible --output-file /dmsr/sbom.cdx.json /venv/bin/python \
    && chmod -R a+rX /dmsr

# No compiler here: the runner never calls torch.compile.
FROM ${PYTHON_IMAGE}
# Nothing here installs packages or changes users.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && find / -xdev -path '*python*' \
        \( -name pip -o -name 'pip-*' -o -name ensurepip \) -prune -exec rm -rf {} + \
    && rm -f /usr/bin/pip* /usr/local/bin/pip*
COPY --from=libraries /venv /venv
COPY --from=code /dmsr /dmsr
ENV PATH=/venv/bin:/dmsr/bin:$PATH \
    PYTHONPATH=/dmsr \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    DMSR_SERVER_HOST=0.0.0.0
# Last, so that a new revision alone changes no layer.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="DMSR service" \
      org.opencontainers.image.description="Removes rain and haze from photos, over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-NC-4.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
WORKDIR /dmsr
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["dmsr"]
CMD ["serve"]
