# Converts, trains and classifies on the CPU:
#   docker build -t dvspipe .
#   docker run --rm -v "$PWD:/work" dvspipe convert VIDEO.mp4 -o events.h5
FROM python:3.13 AS build
WORKDIR /source
COPY . .
# expelliarmus, which Tonic installs, has no wheels for this Python, and the slim image has no compiler for it
RUN pip install --no-cache-dir build==1.6.1 && python -m build --wheel && python -m venv /opt/dvspipe
RUN /opt/dvspipe/bin/pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu dist/*.whl

FROM python:3.13-slim
# opencv-python needs libGL and glib, which the slim image lacks
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends -y libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/dvspipe /opt/dvspipe
ENV PATH="/opt/dvspipe/bin:$PATH"
RUN useradd --create-home --uid 1000 dvspipe && mkdir /work && chown dvspipe /work
USER 1000
WORKDIR /work
ENTRYPOINT ["dvspipe"]
CMD ["--help"]
