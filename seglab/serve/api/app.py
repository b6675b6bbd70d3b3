"""The application: every route, what wraps them, and what answers their errors."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI, Request, Response

from seglab import __version__
from seglab.serve.api import predicting
from seglab.serve.api.callers import admin, known_key, reader_of_metrics, service_of
from seglab.serve.api.documented import refusals, without_security
from seglab.serve.api.errors import handle_errors
from seglab.serve.api.middleware import PREDICT, Observed
from seglab.serve.metrics import CONTENT_TYPE
from seglab.serve.pipeline.answers import colours
from seglab.serve.pipeline.service import Service, describe
from seglab.serve.schema import InfoAnswer, Limits, ReloadAnswer, State, StateAnswer

Reload = Callable[[], Awaitable[ReloadAnswer]]
_PAGE = Path(__file__).parent / "page"
_FILES = {"/": "page.html", "/page.js": "page.js", "/page.css": "page.css"}
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
_ABOUT = (
    "Semantic segmentation of images. Every answer of 4xx and 5xx says why, in `error.message`; "
    "429 and 503 say in Retry-After when to try again."
)

router = APIRouter()


def create_app(service: Service, reload: Reload) -> FastAPI:
    """Return the application of one worker.

    Args:
        service: Answers the requests.
        reload: Lets every worker use the bundle that is at its place now; raises Refused where it
            cannot be used.
    """
    app = FastAPI(
        title="seglab serve",
        version=__version__,
        description=_ABOUT,
        docs_url=None,  # their scripts would come from elsewhere
        redoc_url=None,
        openapi_url=None,  # below: it depends on the keys
        redirect_slashes=False,
    )
    app.state.service, app.state.reload = service, reload
    app.include_router(predicting.router)
    app.include_router(router)
    for path in _FILES:
        app.add_api_route(path, page, methods=["GET", "HEAD"], include_in_schema=False)
    for path, answer in (("/healthz", healthz), ("/readyz", readyz)):
        app.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
    app.add_api_route("/openapi.json", openapi, methods=["GET"], include_in_schema=False)
    handle_errors(app, service.metrics)
    paths = {getattr(route, "path", "") for route in (*app.routes, *router.routes)}
    app.add_middleware(Observed, service=service, routes=paths | {PREDICT})
    return app


async def openapi(request: Request) -> Response:
    """Return what OpenAPI says of the service, with the keys that it asks for now."""
    service = service_of(request)
    spec = request.app.openapi()
    if not service.keys.known:
        spec = without_security(spec, {"/v1/predict", "/info", "/metrics"})
    elif not service.options.protect_metrics:
        spec = without_security(spec, {"/metrics"})
    return Response(json.dumps(spec), media_type="application/json")


async def page(request: Request) -> Response:
    """Return a file of the page."""
    name = _FILES[request.url.path]
    kind = _TYPES[name.rpartition(".")[2]]
    headers = {"Cache-Control": "no-cache"}
    return Response((_PAGE / name).read_bytes(), media_type=kind, headers=headers)


@router.get("/healthz", summary="Is it alive?", responses={503: {"model": StateAnswer}})
async def healthz(request: Request) -> Response:
    """Return 200 while the service works; 503 once the network hangs, and a restart would help."""
    return _state("stuck" if service_of(request).is_stuck else "ok")


@router.get("/readyz", summary="Does it take requests?", responses={503: {"model": StateAnswer}})
async def readyz(request: Request) -> Response:
    """Return 200 while requests should be sent here; 503 while the service drains."""
    service = service_of(request)
    return _state("draining" if service.draining else "stuck" if service.is_stuck else "ok")


def _state(status: State) -> Response:
    content = StateAnswer(status=status).model_dump_json()
    return Response(content, 200 if status == "ok" else 503, media_type="application/json")


@router.get(
    "/info",
    summary="Model and limits",
    response_model=InfoAnswer,
    responses=refusals(401),
    dependencies=[Depends(known_key)],
)
async def info(request: Request) -> Response:
    """Return what the model was made from, its classes, scores, and the limits of a request."""
    service = service_of(request)
    bundle, options = service.bundle, service.options
    limits = Limits(**{name: getattr(options, name) for name in Limits.model_fields})
    answer = InfoAnswer(
        model=describe(bundle),
        run_id=bundle.info.get("run_id"),
        created=bundle.info.get("created"),
        licence=bundle.info.get("licence"),
        class_names=bundle.class_names,
        palette=colours(bundle),
        input=bundle.info["input"],
        scores=bundle.info.get("scores", {}),
        data=bundle.info.get("data", {}),
        limits=limits,
        version=__version__,
    )
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **refusals(401)},
    dependencies=[Depends(reader_of_metrics)],
)
def metrics(request: Request) -> Response:
    """Return the metrics of all workers together."""
    return Response(service_of(request).metrics.page(), headers={"Content-Type": CONTENT_TYPE})


@router.post(
    "/v1/reload",
    summary="Use the bundle that is there now",
    response_model=ReloadAnswer,
    responses={**refusals(401), 403: refusals(401)[401], 409: refusals(401)[401]},
    dependencies=[Depends(admin)],
)
async def reload(request: Request) -> Response:
    """Read bundle and keys again, in every worker or in none; no request is dropped for it."""
    answer = await request.app.state.reload()
    return Response(answer.model_dump_json(), media_type="application/json")
