"""Answers the challenges of OCI registries, with a login or with a token from their token service.

Challenges are those of RFC 9110 ("WWW-Authenticate"); tokens those of the distribution project's
"Token Authentication Specification".
"""

import contextlib
import ipaddress
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlencode, urlsplit

import msgspec

from mpbuild.base import limits
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.http.authentication import basic
from mpbuild.effects.http.client import refuse
from mpbuild.effects.http.transport import Request, Response, Transport
from mpbuild.effects.http.urls import shown
from mpbuild.effects.registry.logins import find_login

LOGIN_HINT = "log in with `docker login`, or name a file of logins in REGISTRY_AUTH_FILE"

# The paths of the distribution specification's endpoints; uploads have further segments.
_ENDPOINT = re.compile(r"/v2/(?P<repository>.+)/(?:manifests|blobs|tags|referrers)/")
_ACTIONS = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}
_PARAMETER = re.compile(r'(?:([\w-]+)[ \t]+)?([\w-]+)=(?:"([^"]*)"|([^\s,"]+))')
# Stricter than urlsplit: every reader of such a URL must see the same host in it.
_REALM = re.compile(
    r"(https?)://((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?)(?:[/?][!-\[\]-~]*)?"
)
_PORT = re.compile(r":\d+$")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, "Authorization Request Header Field"


class _Token(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""


class RegistryAuthentication:
    """Answers a 401 of a registry's endpoint and remembers the answer for the repository.

    A login is sent to its registry and to the registry's own token service only, a token to its
    registry only; neither follows a redirect to another host.
    """

    def __init__(self, inner: Transport, environ: Mapping[str, str]) -> None:
        self._inner = inner
        self._environ = environ
        self._answers: dict[tuple[str, str, str], str] = {}

    @contextlib.contextmanager
    def send(self, request: Request) -> Iterator[Response]:
        """Sends a request, again with an answer if the registry challenges it.

        Raises EnvironmentFailureError if the registry refuses the answer, or there is none.
        """
        parts = urlsplit(request.url)
        endpoint = _ENDPOINT.match(parts.path)
        with contextlib.ExitStack() as stack:
            if endpoint is None:
                yield stack.enter_context(self._inner.send(request))
                return
            repository = endpoint["repository"]
            actions = _ACTIONS.get(request.method, "pull,push")
            key = (parts.netloc, repository, actions)
            known = self._answers.get(key)
            with self._inner.send(_authorized(request, known)) as response:
                if response.status != 401 or response.redirected:
                    yield response
                    return
                challenges = _challenges(response.headers.get("WWW-Authenticate", ""))
                answer = self._answer(challenges, request.url, repository, actions)
                if not answer:
                    refuse(response, request.url, LOGIN_HINT)
            self._answers[key] = answer
            response = stack.enter_context(self._inner.send(_authorized(request, answer)))
            if response.status in (401, 403):
                refuse(response, request.url, LOGIN_HINT)
            yield response

    def _answer(
        self,
        challenges: Mapping[str, Mapping[str, str]],
        url: str,
        repository: str,
        actions: str,
    ) -> str:
        """The Authorization header that answers the challenge; empty if there is no login."""
        login = find_login(self._environ, urlsplit(url).netloc, repository)
        credentials = basic(login) if login else ""
        if "bearer" not in challenges:
            return credentials if "basic" in challenges else ""
        challenge = challenges["bearer"]
        realm = challenge.get("realm", "")
        _check_realm(realm, url, confidential=bool(credentials))
        query = {"scope": challenge.get("scope") or f"repository:{repository}:{actions}"}
        if service := challenge.get("service"):
            query["service"] = service
        token_url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        return f"Bearer {self._token(token_url, credentials)}"

    def _token(self, url: str, credentials: str) -> str:
        request = _authorized(Request(url=url, redirects=False), credentials)
        with self._inner.send(request) as response:
            if response.status != 200:
                refuse(response, url, LOGIN_HINT)
            data = _bounded(response, url)
        try:
            document = msgspec.json.decode(data, type=_Token)
        except msgspec.MsgspecError as error:
            raise EnvironmentFailureError(
                f"the token service's answer is malformed: {error}", where=shown(url)
            ) from error
        token = document.token or document.access_token
        if not _TOKEN.fullmatch(token):
            raise EnvironmentFailureError(
                "the token service's answer has no token", where=shown(url)
            )
        return token


def is_local(host: str) -> bool:
    """Whether ``host``, with or without a port, is the loopback interface by its very name."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_own(service: str, registry: str) -> bool:
    """Whether a token service belongs to a registry: the same host, or one of the same domain.

    auth.corp.example belongs to registry.corp.example, auth.registry.example to registry.example.
    """
    if service == registry:
        return True
    name, own = (_PORT.sub("", host).lower() for host in (service, registry))
    head, _, domain = own.partition(".")
    if head.startswith("[") or own.rpartition(".")[2].isdecimal():
        return False  # IP addresses have no domain.
    return f".{name}".endswith(f".{domain}" if "." in domain else f".{own}")


def _authorized(request: Request, authorization: str | None) -> Request:
    return request.with_headers({"Authorization": authorization}) if authorization else request


def _bounded(response: Response, url: str) -> bytes:
    data = bytearray()
    for chunk in response.chunks:
        data += chunk
        if len(data) > limits.REGISTRY_TOKEN_BYTES:
            raise EnvironmentFailureError("the token is too large", where=shown(url))
    return bytes(data)


def _challenges(header: str) -> dict[str, dict[str, str]]:
    """The parameters of each challenge, by its scheme in lower case."""
    challenges: dict[str, dict[str, str]] = {}
    parameters: dict[str, str] = {}
    bounded = header[: limits.REGISTRY_CHALLENGE_CHARACTERS]
    for scheme, name, quoted, bare in _PARAMETER.findall(bounded):
        if scheme:
            parameters = challenges.setdefault(scheme.lower(), {})
        parameters[name.lower()] = quoted or bare
    return challenges


def _check_realm(realm: str, url: str, *, confidential: bool) -> None:
    """Refuses a token service without TLS, and one of another owner if a login would be sent."""
    match = _REALM.fullmatch(realm)
    if not match:
        raise EnvironmentFailureError(
            f"the registry names an invalid token service: {realm[:200]!r}", where=shown(url)
        )
    scheme, service = match.groups()
    registry = urlsplit(url).netloc
    if scheme != "https" and not (is_local(service) and is_local(registry)):
        raise EnvironmentFailureError(
            f"the registry's token service does not use https: {realm[:200]!r}", where=shown(url)
        )
    if confidential and not is_own(service, registry):
        raise EnvironmentFailureError(
            f"the registry wants its login sent to another host, {service}",
            where=shown(url),
            hint="nothing was sent; a token service shares its registry's domain",
        )
