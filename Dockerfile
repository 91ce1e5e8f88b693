# One file for the CPU and the CUDA image; the classic builder and BuildKit both take it.
#
#   docker build -t dmsr:cpu .                              PyTorch's CPU build
#   docker build -t dmsr:cuda --build-arg TORCH_INDEX= .    the default index, whose Linux build brings CUDA along
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS libraries
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /build
COPY constraints.txt ./
# torch alone decides between CPU and CUDA. Its index need not carry our exact versions of everything torch needs, so
# those come with the next step, from the default index.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' constraints.txt)"
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt \
    # What only compilers and torch's own tests read; without the manager of shared memory torch does not start.
    && cd /venv/lib/python3*/site-packages/torch && rm -rf include share test \
    && find bin -type f ! -name torch_shm_manager -delete

FROM libraries AS code
COPY LICENSE README.md ./
COPY app app
COPY model model
RUN pip install --no-deps --target /dmsr .
COPY weights /dmsr/weights

# No compiler here: the runner never calls torch.compile.
FROM ${PYTHON_IMAGE}
COPY --from=libraries /venv /venv
COPY --from=code /dmsr /dmsr
ENV PATH=/venv/bin:/dmsr/bin:$PATH \
    PYTHONPATH=/dmsr \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    DMSR_SERVER_HOST=0.0.0.0
WORKDIR /dmsr
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["dmsr"]
CMD ["serve"]
