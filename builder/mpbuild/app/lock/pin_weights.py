"""Pins fetched weights in model.toml, and reports pins that no longer match.

An https URL names one file. If another file is there now, that is a content-mismatch and never an
update; to accept it, remove ``sha256`` and ``size`` from the spec. A registry's tag may move, and
``--upgrade`` follows it.
"""

import errno
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from mpbuild.app.workspace.targets import MODEL_FILE
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, Finding, InputError
from mpbuild.base.label import Label
from mpbuild.effects.files import atomic
from mpbuild.spec import toml_positions, weight_pins
from mpbuild.spec.weight_pins import Pin

if TYPE_CHECKING:
    from mpbuild.app.workspace.workspace import Target
    from mpbuild.effects.http.client import HttpClient
    from mpbuild.effects.registry.artifacts import Registries
    from mpbuild.effects.store.store import Store
    from mpbuild.spec.model import Model, Weight


class PinnedWeight(msgspec.Struct, frozen=True, kw_only=True):
    """Weights with their new pin, and the one before, None if it is the first."""

    label: Label
    name: str
    pin: Pin
    before: Pin | None = None


def pin(
    target: "Target",
    *,
    upgrade: bool,
    store: "Callable[[], Store]",
    web: "HttpClient",
    say: Callable[[str], None],
) -> list[PinnedWeight]:
    """Pins the unpinned weights of ``target`` and writes each pin into its model.toml at once.

    With ``upgrade``, also renews pins whose tag has moved. Fetches weights into the store if their
    digest cannot be learned otherwise. Open ``target`` again afterwards. Raises
    EnvironmentFailureError (fetch-failed, content-mismatch, disk-full, system) and InputError
    (spec-invalid); earlier pins stay.
    """
    if not list(_open(target.model, upgrade=upgrade)):
        return []
    path = target.folder / MODEL_FILE
    kept = store()
    with kept.lock(Digest.of(os.fsencode(path.resolve()))):
        # Another process may have pinned them meanwhile.
        target = target.workspace.target(target.label)
        if not atomic.is_writable(path):
            raise EnvironmentFailureError(
                "the file is read-only, so weights can't be pinned in it",
                where=target.file,
                code=Code.SYSTEM,
            )
        return list(_Pinner(target, kept, web).pin(upgrade=upgrade, say=say))


def check(target: "Target", web: "HttpClient") -> list[Finding]:
    """Yields pins that no longer match: moved tags (weights-moved, a warning), other content.

    For https URLs, only sizes are compared; content is compared when it is fetched.
    """
    from mpbuild.effects.registry.artifacts import Registries

    registries, lines = Registries(web), toml_positions.lines(target.text)
    findings: list[Finding] = []
    for index, weight in enumerate(target.model.core.weights):
        place = f"{target.file}:{toml_positions.line_of(('core', 'weights', index, 'url'), lines)}"
        if weight.url and weight.pinned:
            try:
                findings += [f._replace(where=place) for f in _moved(weight, registries)]
                _compare(weight, web)
            except (InputError, EnvironmentFailureError) as error:
                findings += error.within(place).findings
    return findings


class _Pinner:
    """Pins the weights of a target, whose model.toml is locked against other processes."""

    def __init__(self, target: "Target", store: "Store", web: "HttpClient") -> None:
        from mpbuild.effects.registry.artifacts import Registries

        self._target = target
        self._text = target.text
        self._store = store
        self._web = web
        self._registries = Registries(web)

    def pin(self, *, upgrade: bool, say: Callable[[str], None]) -> Iterator[PinnedWeight]:
        """Pins weights one after the other."""
        for index, weight in _open(self._target.model, upgrade=upgrade):
            say(f"  {'checking' if weight.pinned else 'pinning'} {weight.name} at {weight.url}")
            lines = toml_positions.lines(self._text)
            line = toml_positions.line_of(("core", "weights", index, "url"), lines)
            place = f"{self._target.file}:{line}"
            try:
                found, before = self._find(weight), _pin_of(weight)
            except (InputError, EnvironmentFailureError) as error:
                raise error.within(place) from error
            if found != before:
                self._write(index, found)
                yield PinnedWeight(
                    label=self._target.label, name=weight.name, pin=found, before=before
                )

    def _find(self, weight: "Weight") -> Pin:
        assert weight.url, "only fetched weights are open"
        if not weight.url.startswith("oci:"):
            return self._file(weight, weight.url)
        from mpbuild.effects.registry.reference import RegistryReference

        reference, sha256 = RegistryReference.parse(weight.url), weight.sha256
        if weight.pinned:
            if self._registries.current(reference) == reference.digest:
                return _certain(weight)
            reference, sha256 = msgspec.structs.replace(reference, digest=None), None
        found = self._registries.find(weight.name, reference, sha256)
        made = Pin(url=str(found.reference), sha256=found.sha256, size=found.size)
        return made if weight.pinned else _agreeing(weight, made)

    def _file(self, weight: "Weight", url: str) -> Pin:
        """Pins a file of a web server: by its size if the digest is known, else by all of it."""
        if weight.pinned:
            _compare(weight, self._web)
            return _certain(weight)
        if weight.sha256:
            return _agreeing(weight, Pin(url=url, sha256=weight.sha256, size=self._web.size(url)))
        from mpbuild.effects.http.acquire import acquire
        from mpbuild.effects.http.download import FileSink

        store = self._store
        depot = FileSink(store.path / "partial", store.has, store.adopt)
        found = acquire(url, into=depot, web=self._web, progress=lambda _: None)
        return _agreeing(weight, Pin(url=url, sha256=found.digest, size=found.size))

    def _write(self, index: int, pin: Pin) -> None:
        text = weight_pins.write(self._text, {index: pin})
        where = self._target.file
        atomic.tidy(self._target.folder)
        try:
            atomic.replace(self._target.folder / MODEL_FILE, self._text.encode(), text.encode())
        except atomic.ChangedError as error:
            raise InputError(
                "the file changed while its weights were being pinned, and was not overwritten",
                where=where,
                hint="run `mpbuild lock` again: fetched files are kept",
            ) from error
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            code = Code.DISK_FULL if full else Code.SYSTEM
            raise EnvironmentFailureError(
                error.strerror or str(error), where=where, code=code
            ) from error
        self._text = text


def _open(model: "Model", *, upgrade: bool) -> Iterator[tuple[int, "Weight"]]:
    """The weights to pin, by their index."""
    for index, weight in enumerate(model.core.weights):
        if not weight.pinned or (upgrade and weight.url and _may_move(weight.url)):
            yield index, weight


def _may_move(url: str) -> bool:
    """Whether the content at ``url`` may have changed."""
    from mpbuild.effects.registry.reference import RegistryReference

    return not url.startswith("oci:") or bool(RegistryReference.parse(url).tag)


def _moved(weight: "Weight", registries: "Registries") -> Iterator[Finding]:
    from mpbuild.effects.registry.reference import RegistryReference

    if not (weight.url and weight.url.startswith("oci:")):
        return
    reference = RegistryReference.parse(weight.url)
    if reference.tag and (current := registries.current(reference)) != reference.digest:
        yield Finding(
            Code.WEIGHTS_MOVED,
            f"the tag {reference.tag} of {weight.name} now points to {current}",
            hint="run `mpbuild lock --upgrade` to follow it",
            severity="warning",
        )


def _compare(weight: "Weight", web: "HttpClient") -> None:
    """Compares a pin with the server's data; raises EnvironmentFailureError."""
    from mpbuild.effects.registry.artifacts import artifact_request

    known = _certain(weight)
    request = artifact_request(weight.name, known.url, known.sha256, known.size, web)
    size = web.size(request.urls[0])
    if size != known.size:
        raise _other(weight, f"it now has {size} bytes; pinned: {known.size}")


def _agreeing(weight: "Weight", found: Pin) -> Pin:
    """Returns ``found`` unless it contradicts the spec."""
    for expected, actual, what in (
        (weight.sha256, found.sha256, "sha256"),
        (weight.size, found.size, "size"),
    ):
        if expected is not None and expected != actual:
            raise _other(weight, f"its {what} is {actual}; the spec has {expected}")
    return found


def _other(weight: "Weight", message: str) -> EnvironmentFailureError:
    return EnvironmentFailureError(
        message,
        where=f"{weight.name}: {weight.url}",
        code=Code.CONTENT_MISMATCH,
        hint="find out which of the two is wrong; to accept the new file, remove sha256 and size "
        "from the spec and lock again",
    )


def _pin_of(weight: "Weight") -> Pin | None:
    return _certain(weight) if weight.pinned else None


def _certain(weight: "Weight") -> Pin:
    assert weight.url, "only fetched weights have pins"
    assert weight.sha256, "the weights are pinned"
    return Pin(url=weight.url, sha256=weight.sha256, size=weight.size or 0)
