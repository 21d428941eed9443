"""User ids as identity providers make them: every form that must work wherever a user id goes."""

from __future__ import annotations

SUBJECTS = (
    "auth0|5f7c8ec7c33c6c004bbafe82",
    "google-oauth2|103547991597142817347",
    "samlp|corp|DOMAIN\\ann.smith",
    "00u1a2b3c4D5e6F7g8h9",
    "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
    "MTIzNDU2Nzg5MDEyMzQ1+/a/Njc4OTA=",
    "001234.0123456789abcdef0123456789abcdef.1234",
    "user_2NNEqL2nrIRdJ194ndJqAHwEfxC",
    "f:0b6a5c3e-8a1d-4f0e-9d53-6f4f3c2b1a00:ann",
    "https://steamcommunity.com/openid/id/76561198000000001",
    "did:web:example.com%3A3000",
    "CN=Ann Smith,OU=Players/EU,O=Example",
    "ann smith",
    "ann+smith",
    "$where",
    "ann.score",
    '{"$gt": ""}',
    "100%",
    "%2F",
    "?#&;,'\"<>`~^",
    "a",
    "~" * 255,
)
"""Distinct, also where case or percent-encoding is the difference."""
