"""An OpenID Connect provider on a loopback port: real keys, real HTTP, and lies on demand."""

import base64
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from joserfc import jwt
from joserfc.jwk import RSAKey

from support.asgi_server import serving

CLIENT_ID = "fleet"
CLIENT_SECRET = "the-fleets-secret-at-the-provider"

Lie = Callable[[dict[str, Any]], None]


@dataclass
class Provider:
    """What the provider tells about the one person it knows; tests change it.

    `lie` changes an ID token's claims before it is signed, `sign` how it is signed: `RS256`,
    `none`, `HS256` (with the public key as the secret) or `foreign` (with a key of nobody).
    """

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    told_apart: dict[str, Any] = field(default_factory=dict)
    lie: Lie | None = None
    sign: str = "RS256"
    metadata: dict[str, Any] = field(default_factory=dict)
    with_id_token: bool = True
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, auto_kid=True))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def reset(self) -> None:
        """Be honest again."""
        self.claims = {"sub": "u-1", "email": "ann@example.com", "name": "Ann", "groups": ["desk"]}
        self.told_apart, self.lie, self.sign, self.metadata = {}, None, "RS256", {}
        self.with_id_token = True

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        self.key = RSAKey.generate_key(2048, auto_kid=True)

    def document(self) -> dict[str, Any]:
        """What discovery gives."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            "response_types_supported": ["code"],
            **self.metadata,
        }

    def id_token(self, nonce: str) -> str:
        """An ID token for the person."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            **self.claims,
        }
        if self.lie is not None:
            self.lie(claims)
        return self._signed(claims)

    def _signed(self, claims: dict[str, Any]) -> str:
        if self.sign in {"none", "HS256"}:
            parts = ({"alg": self.sign, "typ": "JWT", "kid": self.key.kid}, claims)
            said = b".".join(_encoded(json.dumps(part).encode()) for part in parts)
            public = self.key.as_pem(private=False)
            seal = hmac.digest(public, said, "sha256") if self.sign == "HS256" else b""
            return b".".join((said, _encoded(seal))).decode()
        key = RSAKey.generate_key(2048) if self.sign == "foreign" else self.key
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, key)


@contextmanager
def running_provider() -> Iterator[Provider]:
    """Serve until the block ends."""
    provider = Provider()
    provider.reset()
    with serving(_app(provider)) as url:
        provider.issuer = url
        yield provider


def _app(provider: Provider) -> FastAPI:
    app = FastAPI(title="OpenID Connect provider")

    @app.get("/.well-known/openid-configuration")
    def discover() -> JSONResponse:
        return JSONResponse(provider.document())

    @app.get("/jwks")
    def keys() -> JSONResponse:
        return JSONResponse({"keys": [provider.key.as_dict(private=False)]})

    @app.get("/authorize")
    def authorize(request: Request) -> Response:
        asked = dict(request.query_params)
        provider.asked.append(asked)
        code = secrets.token_urlsafe(16)
        provider.codes[code] = asked
        answer = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{answer}", 302)

    @app.post("/token")
    async def token(request: Request) -> JSONResponse:
        said = {
            name: values[0] for name, values in parse_qs((await request.body()).decode()).items()
        }
        begun = provider.codes.pop(said.get("code", ""), None)
        if not _is_client(request) or begun is None or not _is_same_flow(begun, said):
            return JSONResponse({"error": "invalid_grant"}, 400)
        given = {"access_token": "a" * 20, "token_type": "Bearer", "expires_in": 300}
        if provider.with_id_token:
            given["id_token"] = provider.id_token(begun["nonce"])
        return JSONResponse(given)

    @app.get("/userinfo")
    def userinfo(request: Request) -> JSONResponse:
        assert request.headers["authorization"] == f"Bearer {'a' * 20}"
        return JSONResponse(provider.told_apart)

    return app


def _encoded(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


def _is_client(request: Request) -> bool:
    pair = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    return request.headers.get("authorization") == f"Basic {pair}"


def _is_same_flow(begun: dict[str, str], said: dict[str, str]) -> bool:
    """PKCE: who ends the flow has what its beginner hashed."""
    challenge = _encoded(sha256(said.get("code_verifier", "").encode()).digest())
    return (
        begun["code_challenge_method"] == "S256"
        and challenge.decode() == begun["code_challenge"]
        and begun["redirect_uri"] == said.get("redirect_uri")
    )
