"""The web application behind the tabs. **Airflow leaves a plugin's routes open to everybody**: here none is.

Every route asks Airflow's own login first, the pages FastAPI would add (docs, schema) are switched off, and what is
served may neither run scripts nor load anything: reports hold text that came out of DICOM files.
"""

from __future__ import annotations

from pathlib import Path

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse

from konsil.settings import Settings
from plugins.pages import federation_index, federation_page, quality_index, quality_page

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def build() -> FastAPI:
    """The application, mounted by Airflow below `/konsil`."""
    app = FastAPI(dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)
    app.get("/quality")(quality)
    app.get("/quality/{cohort}/{page}.html")(quality_report)
    app.get("/federation")(federation)
    app.get("/federation/{run}/report.html")(federation_report)
    return app


def quality() -> HTMLResponse:
    """The list of cohorts."""
    return HTMLResponse(quality_index(Settings().home), headers=HEADERS)


def quality_report(cohort: str, page: str) -> FileResponse:
    """The page of a cohort or of one of its cases."""
    return served(quality_page(Settings().home, cohort, page))


def federation() -> HTMLResponse:
    """The list of federations."""
    return HTMLResponse(federation_index(Settings().home), headers=HEADERS)


def federation_report(run: str) -> FileResponse:
    """The report of one federation."""
    return served(federation_page(Settings().home, run))


def served(path: Path | None) -> FileResponse:
    """The file, or 404 for everything else, without saying why."""
    if path is None:
        raise HTTPException(404, "There is no such report.")
    return FileResponse(path, media_type="text/html", headers=HEADERS)
