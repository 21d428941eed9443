"""Tokens and JWK Sets in the form of real identity providers, and the settings that read them.

Claims and members are those of the providers' documentation; keys, names and ids are made up. docs/tokens.md has the
same settings, and a test compares them.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.forgery import forge, public_pem, rsa_private_pem, signing, signing_key
from tests.support.jwks import jwk
from tornado_app.auth.keys import SigningKey

EMAIL, REAL_NAME = "ann.smith@example.com", "Ann Smith"
"""Of every player here; nothing that is public may hold them."""

CERTIFICATE = base64.b64encode(bytes(range(256)) * 3).decode()
"""What stands where a certificate chain is: it is not read."""


def rsa(kid: str, number: int = 0) -> SigningKey:
    return signing_key(rsa_private_pem(number=60 + number), kid)


@dataclass(frozen=True)
class Sample:
    """One provider. `player`, `server`, `moderator`: the claims of a player, a game server and a moderator.

    `settings`: beside the address of the JWK Set. `name` None: the user id is shown.
    """

    provider: str
    user_id: str
    name: str | None
    key: SigningKey
    jwks: list[dict[str, Any]]
    settings: Mapping[str, str]
    player: Mapping[str, Any]
    server: Mapping[str, Any]
    moderator: Mapping[str, Any]
    header: Mapping[str, Any] = field(default_factory=dict)

    def token(self, claims: Mapping[str, Any], *, key: SigningKey | None = None, **changes: Any) -> str:
        """A token with these claims, valid for an hour; `...` takes a claim out."""
        now = int(time.time())
        found = {"iat": now, "exp": now + 3600, **claims, **changes}
        header = {"alg": self.key.algorithm.value, "kid": self.key.kid, **self.header}
        return forge(key or self.key, {name: value for name, value in found.items() if value is not ...}, header)


def _auth0() -> Sample:
    key, issuer = rsa("NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg"), "https://example.eu.auth0.com/"
    shared = {"iss": issuer, "aud": ["https://leaderboard.example", f"{issuer}userinfo"], "azp": "SFRq3eyU0LZ4kbKv"}
    return Sample(
        "Auth0",
        "auth0|5f7c8ec7c33c6c004bbafe82",
        "Annie",
        key,
        [jwk(key, x5t=key.kid, x5c=[CERTIFICATE]), jwk(rsa("next", 1), x5t="next", x5c=[CERTIFICATE])],
        {
            "jwt_issuer": issuer,
            "jwt_audience": "https://leaderboard.example",
            "jwt_name_claims": "https://game.example/handle",
            "jwt_scope_claims": "scope,permissions",
        },
        {**shared, "sub": "auth0|5f7c8ec7c33c6c004bbafe82", "scope": "openid profile email",
         "https://game.example/handle": "Annie", "nickname": "ann.smith", "name": EMAIL, "email": EMAIL,
         "permissions": []},
        {**shared, "aud": "https://leaderboard.example", "sub": "SFRq3eyU0LZ4kbKv@clients",
         "gty": "client-credentials", "scope": "scores:write"},
        {**shared, "sub": "google-oauth2|103547991597142817347", "scope": "openid",
         "permissions": ["leaderboard:admin"]},
        {"typ": "JWT"},
    )  # fmt: skip


def _okta() -> Sample:
    key, issuer = rsa("KVVqX6Wz0G9rHCwK1mVZ7DqGZmSM8OTjYK3PqCNXDUQ"), "https://example.okta.com/oauth2/default"
    shared = {"ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "iss": issuer,
              "aud": "api://leaderboard", "cid": "0oabcd1234"}  # fmt: skip
    return Sample(
        "Okta",
        "00u1a2b3c4D5e6F7g8h9",
        None,
        key,
        [jwk(key)],
        {"jwt_issuer": issuer, "jwt_audience": "api://leaderboard", "jwt_user_claim": "uid"},
        {**shared, "uid": "00u1a2b3c4D5e6F7g8h9", "sub": EMAIL, "scp": ["openid", "profile"], "auth_time": 1},
        {**shared, "uid": "0oaServer", "sub": "0oaServer", "scp": ["scores:write"]},
        {**shared, "uid": "00uModerator", "sub": "mod@example.com", "scp": ["openid", "leaderboard:admin"]},
    )


def _entra() -> Sample:
    key = rsa("-KI3Q9nNR7bRofxmeZoXqbHZGew")
    issuer = "https://login.microsoftonline.com/9122040d-6c67-4c5b-b112-36a304b66dad/v2.0"
    shared = {"iss": issuer, "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3", "ver": "2.0", "azpacr": "1", "nbf": 1,
              "tid": "9122040d-6c67-4c5b-b112-36a304b66dad", "uti": "gs3lGqFcE0u", "aio": "ATQAy/8TAAAA"}  # fmt: skip
    published = {"alg": ..., "x5c": [CERTIFICATE], "cloud_instance_name": "microsoftonline.com",
                 "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}  # fmt: skip
    return Sample(
        "Microsoft Entra ID",
        "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
        None,
        key,
        [jwk(rsa("old", 1), x5t="old", **published), jwk(key, x5t=key.kid, **published)],
        {
            "jwt_issuer": issuer,
            "jwt_audience": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "jwt_name_claims": "",
            "jwt_scope_claims": "scp,roles",
            "jwt_write_scopes": "Scores.Write",
            "jwt_admin_scopes": "Leaderboard.Admin",
        },
        {**shared, "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
         "preferred_username": EMAIL, "name": REAL_NAME, "scp": "Board.Play User.Read"},
        {**shared, "sub": "server-oid", "oid": "server-oid", "idtyp": "app", "roles": ["Scores.Write"]},
        {**shared, "sub": "BBBB", "preferred_username": "mod@example.com", "scp": "Board.Play",
         "roles": ["Leaderboard.Admin"]},
        {"typ": "JWT", "x5t": "-KI3Q9nNR7bRofxmeZoXqbHZGew"},
    )  # fmt: skip


def _cognito() -> Sample:
    key = rsa("abcdefghijklmnopqrsexample==")
    issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example"
    shared = {"iss": issuer, "token_use": "access", "client_id": "1example23456789", "version": 2,
              "jti": "0c8a1c2d", "origin_jti": "aaaa-bbbb"}  # fmt: skip
    return Sample(
        "Amazon Cognito",
        "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "annie",
        key,
        [jwk(rsa("of-id-tokens=", 1)), jwk(key)],
        {
            "jwt_issuer": issuer,
            "jwt_audience": "1example23456789,2server3456789",
            "jwt_audience_claims": "client_id",
            "jwt_name_claims": "username",
            "jwt_scope_claims": "scope,cognito:groups",
            "jwt_write_scopes": "leaderboard/scores:write",
            "jwt_admin_scopes": "moderators",
        },
        {**shared, "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "username": "annie", "auth_time": 1,
         "scope": "aws.cognito.signin.user.admin openid"},
        {**shared, "sub": "2server3456789", "client_id": "2server3456789", "scope": "leaderboard/scores:write"},
        {**shared, "sub": "mod", "username": "mod", "cognito:groups": ["moderators"], "scope": "openid"},
    )  # fmt: skip


def _keycloak() -> Sample:
    key, issuer = rsa("FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE"), "https://id.game.example/realms/game"
    roles = ["default-roles-game", "offline_access", *(f"guild-{n:03}-officer-of-the-realm" for n in range(120))]
    shared = {"jti": "onrtac:4e4b", "iss": issuer, "aud": ["leaderboard", "account"], "typ": "Bearer", "azp": "game",
              "sid": "a0d7a9bb", "acr": "1", "allowed-origins": ["https://game.example"],
              "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}}}  # fmt: skip
    return Sample(
        "Keycloak",
        "0b6a5c3e-8a1d-4f0e-9d53-6f4f3c2b1a00",
        "annie",
        key,
        [
            jwk(rsa("enc", 1), use="enc", alg="RSA-OAEP", x5c=[CERTIFICATE]),
            jwk(key, x5c=[CERTIFICATE], x5t="t", **{"x5t#S256": "s"}),
        ],
        {
            "jwt_issuer": issuer,
            "jwt_audience": "leaderboard",
            "jwt_name_claims": "preferred_username",
            "jwt_scope_claims": "/realm_access/roles",
            "jwt_write_scopes": "game-server",
            "jwt_admin_scopes": "board-moderator",
        },
        {**shared, "sub": "0b6a5c3e-8a1d-4f0e-9d53-6f4f3c2b1a00", "realm_access": {"roles": roles},
         "scope": "openid profile email", "email_verified": True, "name": REAL_NAME, "preferred_username": "annie",
         "given_name": "Ann", "family_name": "Smith", "email": EMAIL},
        {**shared, "sub": "service-account", "preferred_username": "service-account-game-server",
         "realm_access": {"roles": ["game-server"]}, "clientHost": "10.0.0.1"},
        {**shared, "sub": "mod", "realm_access": {"roles": [*roles, "board-moderator"]}},
        {"typ": "JWT"},
    )  # fmt: skip


def _firebase() -> Sample:
    key, project = rsa("de955ed7c3e2a1b0c9d8e7f6a5b4c3d2e1f0a9b8"), "game-12345"
    shared = {"iss": f"https://securetoken.google.com/{project}", "aud": project, "auth_time": 1}
    uid = "vPZl4cT0bHhEexampleUid28char"
    identities = {"identities": {"google.com": ["103547991597142817347"], "email": [EMAIL]}}
    return Sample(
        "Firebase",
        uid,
        "Annie",
        key,
        [jwk(key), jwk(rsa("next", 1))],
        {
            "jwt_issuer": f"https://securetoken.google.com/{project}",
            "jwt_audience": project,
            "jwt_name_claims": "handle",
            "jwt_scope_claims": "roles",
            "jwt_write_scopes": "game-server",
            "jwt_admin_scopes": "moderator",
        },
        {**shared, "sub": uid, "user_id": uid, "name": REAL_NAME, "email": EMAIL, "email_verified": True,
         "picture": "https://lh3.googleusercontent.com/a/example=s96-c", "handle": "Annie",
         "firebase": {**identities, "sign_in_provider": "google.com"}},
        {**shared, "sub": "server", "user_id": "server", "roles": ["game-server"],
         "firebase": {"identities": {}, "sign_in_provider": "custom"}},
        {**shared, "sub": "mod", "user_id": "mod", "roles": ["moderator"]},
        {"typ": "JWT"},
    )  # fmt: skip


def _google() -> Sample:
    key, client = rsa("882503a5fd56e9f734dfba5c50d7bf48db284ae9"), "407408718192.apps.googleusercontent.com"
    shared = {"iss": "https://accounts.google.com", "azp": client, "aud": client, "jti": "161a39d3cb5e"}
    return Sample(
        "Google",
        "103547991597142817347",
        "Ann",
        key,
        [jwk(rsa("old", 1)), jwk(key)],
        {
            "jwt_issuer": "https://accounts.google.com",
            "jwt_audience": client,
            "jwt_name_claims": "given_name",
            "jwt_scope_claims": "sub",
            "jwt_write_scopes": "114000000000000000001",
            "jwt_admin_scopes": "114000000000000000002",
        },
        {**shared, "sub": "103547991597142817347", "email": EMAIL, "email_verified": True, "name": REAL_NAME,
         "picture": "https://lh3.googleusercontent.com/a/example=s96-c", "given_name": "Ann", "family_name": "Smith"},
        {**shared, "sub": "114000000000000000001", "email": "server@game-12345.iam.gserviceaccount.com"},
        {**shared, "sub": "114000000000000000002", "email": "mod@example.com", "hd": "example.com"},
        {"typ": "JWT"},
    )  # fmt: skip


def _apple() -> Sample:
    key, client = rsa("fh6Bs8C"), "com.example.game"
    shared = {"iss": "https://appleid.apple.com", "aud": client, "auth_time": 1, "nonce_supported": True,
              "c_hash": "a-b_c"}  # fmt: skip
    return Sample(
        "Apple",
        "001234.0123456789abcdef0123456789abcdef.1234",
        None,
        key,
        [jwk(rsa("W6WcOKB", 1)), jwk(key), jwk(rsa("lVHdOx8ltR", 2))],
        {
            "jwt_issuer": "https://appleid.apple.com",
            "jwt_audience": client,
            "jwt_scope_claims": "sub",
            "jwt_write_scopes": "001234.aaaa.0001",
            "jwt_admin_scopes": "001234.bbbb.0002",
        },
        {**shared, "sub": "001234.0123456789abcdef0123456789abcdef.1234", "email": EMAIL, "email_verified": "true",
         "is_private_email": "true"},
        {**shared, "sub": "001234.aaaa.0001"},
        {**shared, "sub": "001234.bbbb.0002"},
    )  # fmt: skip


def _clerk() -> Sample:
    key, issuer = rsa("ins_2NNEqL2nrIRdJ194ndJqAHwEfxC"), "https://clerk.game.example"
    shared = {"iss": issuer, "azp": "https://game.example", "nbf": 1, "sid": "sess_2GbDB4enNdCa5vS1zpC3Xzg9tK9", "v": 2,
              "sts": "active", "fva": [5, -1]}  # fmt: skip
    return Sample(
        "Clerk",
        "user_2GIpXOEpVyJw51rkZn9Kmnc6Sxr",
        "annie",
        key,
        [jwk(key)],
        {
            "jwt_issuer": issuer,
            "jwt_audience": "https://game.example",
            "jwt_audience_claims": "azp",
            "jwt_name_claims": "username",
            "jwt_scope_claims": "/metadata/roles",
        },
        {**shared, "sub": "user_2GIpXOEpVyJw51rkZn9Kmnc6Sxr", "username": "annie", "email": EMAIL, "metadata": {}},
        {**shared, "sub": "user_server", "metadata": {"roles": ["scores:write"]}},
        {**shared, "sub": "user_mod", "metadata": {"roles": ["leaderboard:admin"]}},
        {"typ": "JWT", "cat": "cl_B7d4PD111AAA"},
    )


def _steam() -> Sample:
    key, issuer = signing("ES256", "2026-01", 61), "https://login.game.example"
    nothing = {"alg": None, "use": None, "key_ops": [], "x5c": [], "oth": None, "d": None, "k": None, "x5t": None,
               "x5u": "", "p": None, "q": None}  # fmt: skip
    shared = {"iss": issuer, "aud": "leaderboard"}
    return Sample(
        "Steam",
        "https://steamcommunity.com/openid/id/76561198000000001",
        "Annie ☠",
        key,
        [jwk(key, **nothing)],
        {"jwt_issuer": issuer, "jwt_audience": "leaderboard", "jwt_name_claims": "personaname"},
        {**shared, "sub": "https://steamcommunity.com/openid/id/76561198000000001",
         "personaname": "\u202eAnnie ☠\u202c", "name": REAL_NAME, "picture": "https://avatars.steamstatic.com/0a_full.jpg"},
        {**shared, "sub": "game server", "scope": "scores:write"},
        {**shared, "sub": "moderator", "scope": "leaderboard:admin"},
    )  # fmt: skip


def _uaa() -> Sample:
    key, issuer = rsa("legacy-token-key"), "https://uaa.game.example/oauth/token"
    pem = public_pem(rsa_private_pem(number=60)).decode()
    shared = {"jti": "b8be5a28", "iss": issuer, "cid": "game", "azp": "game", "zid": "uaa", "rev_sig": "d9b6a7c0",
              "aud": ["leaderboard", "game", "openid"], "origin": "uaa", "grant_type": "password"}  # fmt: skip
    return Sample(
        "UAA",
        "7c4c3f0a-5c1b-4b0e-8a9e-0d6f7f1d2c3b",
        None,
        key,
        [jwk(key, value=pem)],
        {
            "jwt_issuer": issuer,
            "jwt_audience": "leaderboard",
            "jwt_name_claims": "user_name",
            "jwt_write_scopes": "leaderboard.write",
            "jwt_admin_scopes": "leaderboard.admin",
        },
        {**shared, "sub": "7c4c3f0a-5c1b-4b0e-8a9e-0d6f7f1d2c3b", "user_id": "7c4c3f0a-5c1b-4b0e-8a9e-0d6f7f1d2c3b",
         "user_name": EMAIL, "email": EMAIL, "scope": ["openid", "leaderboard.read"]},
        {**shared, "sub": "server", "grant_type": "client_credentials", "scope": ["leaderboard.write"]},
        {**shared, "sub": "mod", "user_id": "mod", "user_name": "mod", "scope": ["leaderboard.admin"]},
        {"typ": "JWT", "jku": "https://uaa.game.example/token_keys"},
    )  # fmt: skip


SAMPLES = (
    _auth0(), _okta(), _entra(), _cognito(), _keycloak(), _firebase(), _google(), _apple(), _clerk(), _steam(), _uaa(),
)  # fmt: skip
