"""The web application behind the tabs. **Airflow leaves a plugin's routes open to everybody**: here none is.

Every route asks Airflow's own login first, and the pages FastAPI would add (docs, schema) are switched off. Reports
hold text that came out of DICOM files: they may load nothing, and run no script but ours, named by its hash.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Body, Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse

from konsil.quality.pages import script_source
from konsil.settings import Settings
from konsil.types import Json
from plugins import access, drawing, governance, planes, reviews
from plugins import federation as runs
from plugins.pages import federation_index, federation_page, quality_index, quality_page

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

User = Annotated[Any, Depends(get_user)]


def build() -> FastAPI:
    """The application, mounted by Airflow below `/konsil`."""
    app = FastAPI(dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)
    app.get("/quality")(quality)
    app.get("/quality/{cohort}/{page}.html")(quality_report)
    app.get("/quality/{cohort}/review")(review)
    app.post("/quality/{cohort}/review")(decide)
    app.get("/viewer/{script}.js")(viewer_script)
    app.get("/viewer/{cohort}/{case}.html")(viewer)
    app.get("/viewer/{cohort}/{case}/images")(viewer_images)
    app.get("/viewer/{cohort}/{case}/{image}.nii.gz")(viewer_image)
    app.get("/federation")(federation)
    app.get("/federation/{run}/report.html")(federation_report)
    app.get("/federation/{run}/now.html")(federation_run)
    app.get("/federation/{run}/now")(federation_now)
    app.post("/federation/{run}/words")(federation_word)
    app.get("/governance")(governance_index)
    app.get("/governance/audit.html")(governance_audit)
    app.get("/governance/{run}/charter.html")(governance_charter)
    app.post("/governance/policies/{name}/revoke")(governance_revoke)
    app.get("/assets/{script}.js")(tab_script)
    return app


def quality() -> HTMLResponse:
    """The list of cohorts."""
    return HTMLResponse(quality_index(Settings().home), headers=HEADERS)


def quality_report(cohort: str, page: str) -> FileResponse:
    """The page of a cohort or of one of its cases; its script may talk to this server."""
    policy = f"{POLICY}; script-src {script_source()}; connect-src 'self'"
    return served(quality_page(Settings().home, cohort, page), policy=policy)


def review(cohort: str, user: User) -> Json:
    """The decisions on single cases, as the pages show them."""
    return reviews.current(reviews.folder_of(Settings().home, cohort), user)


def decide(cohort: str, request: Request, user: User, asked: Annotated[Json, Body()]) -> Json:
    """Keep a decision on one case; gives all decisions."""
    access.refuse_strangers(request, reviews.HEADER, reviews.STRANGERS)
    folder = reviews.folder_of(Settings().home, cohort)
    reviews.decide(folder, user, asked)
    return reviews.current(folder, user)


def viewer(cohort: str, case: str) -> FileResponse:
    """The page that shows a case in three planes."""
    there = planes.case_images(Settings().home, cohort, case)
    return served(planes.HERE / "viewer.html" if there else None, policy=planes.POLICY)


def viewer_images(cohort: str, case: str) -> Json:
    """Which images of a case there are."""
    return {"images": sorted(planes.case_images(Settings().home, cohort, case))}


def viewer_image(cohort: str, case: str, image: str) -> FileResponse:
    """One image of a case, as it lies on the disk."""
    path = planes.case_images(Settings().home, cohort, case).get(image)
    return served(path, media_type="application/gzip")


def viewer_script(script: str) -> FileResponse:
    """NiiVue, or our few lines around it; the same for everybody, so browsers may keep it for a day."""
    answer = served(planes.script(f"{script}.js"), media_type="text/javascript")
    answer.headers["Cache-Control"] = "private, max-age=86400"
    return answer


def federation() -> HTMLResponse:
    """The list of federations."""
    return HTMLResponse(federation_index(Settings().home), headers=HEADERS)


def federation_run(run: str, user: User) -> HTMLResponse:
    """One federation as it stands."""
    return drawn(runs.run_page(Settings().home, run, user))


def federation_now(run: str, user: User) -> Json:
    """What the page of a run refreshes itself with."""
    return runs.now(Settings().home, run, user)


def federation_word(run: str, request: Request, user: User, asked: Annotated[Json, Body()]) -> Json:
    """Say a word to a run; gives the run as it stands then."""
    return runs.say(Settings().home, run, user, request, asked)


def governance_index(user: User) -> HTMLResponse:
    """Charters, decisions, standing policies."""
    return drawn(governance.index(Settings().home, user))


def governance_audit(published: bool = False) -> HTMLResponse:
    """The audit log with its verification."""
    return drawn(governance.audit_page(Settings().home, published=published))


def governance_charter(run: str) -> HTMLResponse:
    """One charter: what it asks, what changed, what leaves."""
    return drawn(governance.charter_page(Settings().home, run))


def governance_revoke(name: str, request: Request, user: User, asked: Annotated[Json, Body()]) -> Json:
    """End a standing policy."""
    return governance.revoke(Settings().home, name, user, request, asked)


def tab_script(script: str) -> FileResponse:
    """A script of the tabs."""
    return served(drawing.script(f"{script}.js"), media_type="text/javascript")


def federation_report(run: str) -> FileResponse:
    """The report of one federation."""
    return served(federation_page(Settings().home, run))


def drawn(page: str) -> HTMLResponse:
    """A page of ours that runs the scripts served beside it and talks to this server."""
    policy = f"{POLICY}; script-src 'self'; connect-src 'self'"
    return HTMLResponse(page, headers=HEADERS | {"Content-Security-Policy": policy})


def served(path: Path | None, *, policy: str = POLICY, media_type: str = "text/html") -> FileResponse:
    """The file, or 404 for everything else, without saying why."""
    if path is None:
        raise HTTPException(404, "There is no such report.")
    return FileResponse(path, media_type=media_type, headers=HEADERS | {"Content-Security-Policy": policy})
