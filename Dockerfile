# axlstm on a CPU, with what evaluation needs:
#   docker build -t axlstm .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" axlstm embed recordings -o embeddings.parquet
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:${PYTHON}-slim
ARG TORCH=2.13.0
# The index of PyTorch with builds for CPUs: those elsewhere bring several gigabytes of CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --index-url "${TORCH_INDEX}" "torch==${TORCH}"
COPY --from=build /dist /dist
# The wheel is of these sources, and says which versions it goes with.
# hadolint ignore=DL3013
RUN wheel="$(echo /dist/*.whl)" && pip install --no-cache-dir "${wheel}[evaluate]" \
 && useradd --uid 1000 --create-home axlstm && install --directory --owner axlstm /data
USER 1000
# What is kept between commands lies where any user may write: --user can be another one.
ENV AXLSTM_CACHE=/tmp/axlstm MPLCONFIGDIR=/tmp/matplotlib HF_HUB_OFFLINE=1
WORKDIR /data
ENTRYPOINT ["axlstm"]
CMD ["--help"]
