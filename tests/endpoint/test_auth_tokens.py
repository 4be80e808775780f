"""Signed tokens, verified by the public keys of their issuer."""

import asyncio
import base64
import hashlib
import hmac
import json
import math
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rexec_jupyter.auth import jwks
from rexec_jupyter.auth.errors import RefusedError, UnavailableError
from tests.endpoint.authentication import asking
from tests.endpoint.canary import MARK
from tests.endpoint.identity_service import JWKS, VALIDATION, IdentityService


@pytest.fixture(scope="module")
def identity():
    with IdentityService() as service:
        yield service


@pytest.fixture
def ask(identity):
    if list(identity._keys) != ["first"]:
        identity.rotate()
    with asking(**configured(identity)) as authenticator:
        yield authenticator


def configured(identity, **more):
    return {"jwks_url": identity.jwks_url, "jwt_issuer": identity.issuer} | more


def encoded(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_signed_token_is_accepted_without_a_call_for_each(identity, ask):
    before = identity.calls.copy()
    token = identity.jwt("writer")
    assert MARK in token
    found = ask.identify(token)
    assert (found.sub, found.username) == ("sub-of-writer", "writer")
    assert found.roles == {"ndp_writer"}
    ask.identify(identity.jwt("viewer"))
    assert identity.calls[JWKS] == before[JWKS] + 1
    assert identity.calls[VALIDATION] == before[VALIDATION]


def test_elliptic_keys_work_too(identity, ask):
    identity.rotate("elliptic", "EC")
    assert ask.identify(identity.jwt("viewer")).username == "viewer"


def test_the_roles_that_keycloak_writes_count(identity, ask):
    token = identity.jwt("outsider", roles=None, realm_access={"roles": ["ndp_writer", 7]})
    assert ask.identify(token).roles == {"ndp_writer"}


def test_a_key_set_without_algorithms_serves_every_algorithm_of_its_kind(identity, ask):
    keys = identity.jwks()
    for key in keys["keys"]:
        del key["alg"]
    with identity.saying(body=keys):
        assert ask.identify(identity.jwt("viewer")).username == "viewer"


def test_a_token_without_a_key_id_is_tried_with_every_key(identity, ask):
    identity.rotate("second", keep=True)
    token = identity.jwt("viewer", key_id="first", key_named=False)
    assert ask.identify(token).username == "viewer"


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "Invalid"),
        ({"exp": "tomorrow"}, "Invalid"),
        ({"iss": "https://elsewhere.example.org"}, "not for this endpoint"),
        ({"iss": None}, "Invalid"),
        ({"sub": None}, "Invalid"),
        ({"sub": ""}, "Invalid"),
        ({"sub": 7}, "Invalid"),
        ({"roles": "ndp_admin"}, "roles are not a list"),
        ({"realm_access": {"roles": "ndp_admin"}}, "roles are not a list"),
        ({"load": math.nan}, "JSON cannot express"),
        ({"note": "\ud800"}, "JSON cannot express"),
        ({"nbf": 9_999_999_999}, "Invalid"),
        ({"iat": 9_999_999_999}, "Invalid"),
    ],
    ids=str,
)
def test_a_token_with_wrong_claims_is_refused(identity, ask, claims, text):
    with pytest.raises(RefusedError, match=text):
        ask.identify(identity.jwt("admin", **claims))


@pytest.mark.parametrize(
    ("audience", "accepted"),
    [("rexec", True), (["other", "rexec"], True), ("other", False), (None, False)],
)
def test_a_token_for_another_service_is_refused_if_an_audience_is_set(identity, audience, accepted):
    with asking(**configured(identity, jwt_audience="rexec")) as ask:
        token = identity.jwt("viewer", aud=audience)
        if accepted:
            assert ask.identify(token).username == "viewer"
        else:
            with pytest.raises(RefusedError):
                ask.identify(token)


def test_without_an_audience_that_of_a_token_does_not_count(identity, ask):
    assert ask.identify(identity.jwt("viewer", aud="account")).username == "viewer"


def test_a_token_that_somebody_else_signed_is_refused(identity, ask):
    stranger = rsa.generate_private_key(65537, 2048)
    claims = identity.jwt_claims("admin")
    with pytest.raises(RefusedError):
        ask.identify(jwt.encode(claims, stranger, "RS256", headers={"kid": "first"}))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_a_token_that_nobody_signed_is_refused(identity, ask, algorithm):
    header = encoded({"alg": algorithm, "typ": "JWT", "kid": "first"})
    for signature in ("", encoded(b"x" * 256)):
        with pytest.raises(RefusedError):
            ask.identify(f"{header}.{encoded(identity.jwt_claims('admin'))}.{signature}")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["PEM", "DER", "modulus"])
def test_a_public_key_is_no_password_to_sign_with(identity, ask, algorithm, form):
    public = identity._keys["first"][0].public_key()
    if form == "modulus":
        key = base64.urlsafe_b64decode(identity.jwks()["keys"][0]["n"] + "==")
    else:
        key = public.public_bytes(getattr(Encoding, form), PublicFormat.SubjectPublicKeyInfo)
    header = encoded({"alg": algorithm, "typ": "JWT", "kid": "first"})
    signed = f"{header}.{encoded(identity.jwt_claims('admin'))}"
    kind = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    signature = encoded(hmac.new(key, signed.encode(), kind).digest())
    with pytest.raises(RefusedError, match="not accepted"):
        ask.identify(f"{signed}.{signature}")


def test_a_secret_among_the_public_keys_is_not_used(identity, ask):
    shared = b"s" * 32
    keys = {"keys": [{"kty": "oct", "kid": "shared", "alg": "HS256", "k": encoded(shared)}]}
    token = jwt.encode(identity.jwt_claims("admin"), shared, "HS256", headers={"kid": "shared"})
    with identity.saying(body=keys), pytest.raises(RefusedError):
        ask.identify(token)


def test_a_key_that_the_token_itself_brings_is_not_used(identity, ask):
    stranger = rsa.generate_private_key(65537, 2048)
    described = jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key(), as_dict=True)
    headers = {"kid": "first", "jwk": described, "jku": "http://127.0.0.1:9/", "x5u": "http://x/"}
    before = identity.calls.copy()
    with pytest.raises(RefusedError):
        ask.identify(jwt.encode(identity.jwt_claims("admin"), stranger, "RS256", headers=headers))
    assert identity.calls[JWKS] == before[JWKS] + 1


def test_a_key_for_encryption_verifies_nothing(identity, ask):
    keys = identity.jwks()
    keys["keys"][0]["use"] = "enc"
    with identity.saying(body=keys), pytest.raises(UnavailableError):
        ask.identify(identity.jwt("viewer"))


@pytest.mark.parametrize("change", ["header", "claims", "signature"])
def test_a_token_that_was_changed_is_refused(identity, ask, change):
    header, claims, signature = identity.jwt("viewer").split(".")
    if change == "header":
        header = encoded({"alg": "RS384", "kid": "first"})
    elif change == "claims":
        claims = encoded(identity.jwt_claims("admin"))
    else:
        signature = signature[:-10] + ("A" * 10)
    with pytest.raises(RefusedError):
        ask.identify(f"{header}.{claims}.{signature}")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "..",
        "a.b.c",
        "eyJ.eyJ.x",
        f"{encoded({'alg': 'RS256'})}.{encoded(b'no json')}.AAAA",
        f"{encoded({'alg': 'RS256', 'kid': 'first'})}.{encoded([])}.AAAA",
        f"{encoded({'alg': ['RS256']})}.{encoded({})}.AAAA",
        f"{encoded({'alg': {'a': 1}, 'kid': {'b': 1}})}.{encoded({})}.AAAA",
        f"{encoded({'alg': 'RS256', 'kid': ['first']})}.{encoded({})}.AAAA",
        f"{encoded({'alg': 'RS256', 'crit': ['x'], 'kid': 'first'})}.{encoded({})}.AAAA",
        f"{encoded([])}.{encoded({})}.AAAA",
        f"{encoded(b'[' * 5000)}.{encoded({})}.AAAA",
    ],
    ids=range(12),
)
def test_what_is_no_signed_token_is_refused(ask, token):
    with pytest.raises(RefusedError):
        ask.identify(token)


# The keys change, or cannot be had


def test_a_new_key_is_fetched_when_a_token_names_it(identity, ask, monkeypatch):
    monkeypatch.setattr(jwks, "_AT_THE_EARLIEST", 0)
    ask.identify(identity.jwt("viewer"))
    before = identity.calls[JWKS]
    identity.rotate("next")
    assert ask.identify(identity.jwt("writer")).username == "writer"
    assert identity.calls[JWKS] == before + 1


def test_a_key_that_was_withdrawn_does_not_count_any_more(identity, ask, monkeypatch):
    monkeypatch.setattr(jwks, "_AT_THE_EARLIEST", 0)
    old = identity.jwt("viewer")
    identity.rotate("next")
    ask.identify(identity.jwt("writer"))
    with pytest.raises(RefusedError):
        ask.identify(old)


def test_made_up_key_ids_do_not_cause_a_call_each(identity, ask, monkeypatch):
    monkeypatch.setattr(jwks, "_AT_THE_EARLIEST", 3600)
    ask.identify(identity.jwt("viewer"))
    before = identity.calls[JWKS]
    for number in range(20):
        with pytest.raises(RefusedError):
            ask.identify(identity.jwt("viewer", headers={"kid": f"made-up-{number}"}))
    assert identity.calls[JWKS] == before


def test_many_tokens_at_once_fetch_the_keys_once(identity, ask):
    tokens = [identity.jwt("viewer", jti=str(number)) for number in range(20)]

    async def all_at_once(authenticator):
        return await asyncio.gather(*(authenticator.identify(token) for token in tokens))

    before = identity.calls[JWKS]
    assert len(ask.run(all_at_once)) == 20
    assert identity.calls[JWKS] == before + 1


@pytest.mark.parametrize(
    "fault",
    [
        lambda identity: identity.down(),
        lambda identity: identity.hanging_up(),
        lambda identity: identity.saying(500, ""),
        lambda identity: identity.saying(404, {}),
        lambda identity: identity.saying(body="<html>"),
        lambda identity: identity.saying(body=[]),
        lambda identity: identity.saying(body={}),
        lambda identity: identity.saying(body={"keys": {}}),
        lambda identity: identity.saying(body={"keys": []}),
        lambda identity: identity.saying(body={"keys": [None, 7, {}, {"kty": "RSA"}]}),
        lambda identity: identity.saying(body={"keys": [{"kty": "RSA", "n": "!", "e": 7}]}),
        lambda identity: identity.endless(),
    ],
    ids=range(12),
)
def test_without_keys_nothing_can_be_said_and_afterwards_it_can(identity, monkeypatch, fault):
    monkeypatch.setattr(jwks, "_AT_THE_EARLIEST", 0)
    identity.rotate()
    with asking(**configured(identity)) as ask:
        with fault(identity), pytest.raises(UnavailableError):
            ask.identify(identity.jwt("viewer"))
        assert ask.identify(identity.jwt("viewer")).username == "viewer"


def test_keys_that_are_known_outlive_an_outage_but_not_for_ever(identity, monkeypatch):
    identity.rotate()
    now = [1000.0]
    original = jwks.TokenVerifier
    monkeypatch.setattr(
        "rexec_jupyter.auth.authenticator.TokenVerifier",
        lambda settings, outbound: original(settings, outbound, lambda: now[0]),
    )
    with asking(**configured(identity)) as ask:
        ask.identify(identity.jwt("viewer"))
        with identity.down():
            now[0] += 2 * 3600
            assert ask.identify(identity.jwt("writer")).username == "writer"
            now[0] += 23 * 3600
            with pytest.raises(UnavailableError):
                ask.identify(identity.jwt("admin"))


def test_a_token_is_remembered_no_longer_than_it_is_valid(identity, ask):
    token = identity.jwt("viewer", exp=int(time.time()) + 20)
    ask.identify(token)
    known = ask.authenticator._known
    ((until, _),) = known._held.values()
    assert 0 < until - time.monotonic() <= 20


def test_keys_without_an_issuer_are_no_configuration(identity):
    with pytest.raises(ValueError, match="JWT_ISSUER"):
        asking(jwks_url=identity.jwks_url).__enter__()


def test_passwords_are_still_checked_by_the_identity_service(identity):
    with asking(**configured(identity, auth_api_url=identity.url)) as ask:
        given = ask.login("writer", identity.password("writer"))
        assert given["access_token"] == identity.token("writer")
        # What is not signed is not asked for elsewhere: there is one truth about tokens.
        with pytest.raises(RefusedError):
            ask.identify(identity.token("writer"))
