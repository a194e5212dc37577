"""Scripts, styles and pictures of the pages, from memory.

All files of `web/static` are read once, at the start: they are few and small. ``--dev-static-dir``
reads them from a directory for each request instead. Browsers keep them, and ask with an ETag
whether they are still good.
"""

import hashlib
import mimetypes
from pathlib import Path

import trio
from quart import Response, request
from quart_trio import QuartTrio

from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.pages.frame.render import web_directory
from nsqcore.classes import frozen

_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".map": "application/json",
    ".woff2": "font/woff2",
}


@frozen
class Asset:
    """A file and what HTTP says of it."""

    data: bytes
    kind: str
    tag: str

    @classmethod
    def of(cls, path: Path) -> "Asset":
        """The file at ``path``."""
        data = path.read_bytes()
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
        tag = hashlib.blake2b(data, digest_size=12).hexdigest()
        return cls(data, kind or "application/octet-stream", tag)


def add_static(app: QuartTrio, admin: Admin) -> None:
    """Route ``/static/<asset>``."""
    base = admin.options.base_path.rstrip("/")
    shipped = web_directory() / "static"
    assets = {path.name: Asset.of(path) for path in shipped.iterdir() if path.is_file()}
    assets |= {path.name: Asset.of(path) for path in shipped.glob("*/*") if path.is_file()}

    async def find(name: str) -> Asset | None:
        directory = admin.options.dev_static_dir
        if not directory:
            return assets.get(name)
        try:
            # One segment of a URL: there is no slash in it, and a dot in front leads nowhere.
            return await trio.to_thread.run_sync(Asset.of, Path(directory) / name.lstrip("."))
        except OSError:
            return None

    @app.get(f"{base}/static/<asset>")
    @app.get(f"{base}/fonts/<asset>")
    async def static(asset: str) -> Response:
        found = await find(asset)
        if found is None:
            raise Refused(404, "NOT_FOUND")
        fresh = request.headers.get("If-None-Match", "") == f'"{found.tag}"'
        response = Response(b"" if fresh else found.data, 304 if fresh else 200)
        response.headers["Content-Type"] = found.kind
        response.headers["ETag"] = f'"{found.tag}"'
        response.headers["Cache-Control"] = "public, max-age=300"
        return response
