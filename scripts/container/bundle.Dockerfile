# An image with its bundle inside, for Kubernetes and Lambda; the context is the bundle's folder:
#   docker build --file scripts/container/bundle.Dockerfile --tag seglab-serve:with-bundle bundles/unet
# and for Lambda with --build-arg IMAGE=seglab-lambda, made by: docker build --target lambda --tag seglab-lambda .
ARG IMAGE=seglab-serve:latest
FROM ${IMAGE}
COPY --chmod=755 . /bundle
