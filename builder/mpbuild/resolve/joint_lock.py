"""Resolves the locks of a target's accelerators jointly, so that they share packages.

It resolves the requirements of all accelerators together, then those of each under the resulting
versions. A package of several accelerators has one version and one wheel, so their images share its
layer. If they have it from different indexes, it has one public version, and different builds.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from packaging.version import Version

from mpbuild.base.errors import InputError
from mpbuild.effects.python.index_views import IndexView
from mpbuild.effects.python.resolution_failure import FailureKind, ResolutionError
from mpbuild.effects.python.uv import Pin, ResolvedPackage, Uv
from mpbuild.effects.threads import at_once
from mpbuild.formats.python.pylock import PythonLock, PythonPackage
from mpbuild.locks.python_inputs import PythonInputs
from mpbuild.locks.skew import skew
from mpbuild.resolve import python_lock

if TYPE_CHECKING:
    from mpbuild.effects.http.client import HttpClient


def lock(
    wanted: Mapping[str, PythonInputs],
    *,
    views: Mapping[str, IndexView],
    uv: Uv,
    web: "HttpClient",
    previous: Mapping[str, PythonLock],
    fresh: Collection[str] = (),
) -> dict[str, PythonLock]:
    """Resolves the inputs of all accelerators, each with its own view of the indexes.

    Keeps versions of ``previous`` if possible, except those in ``fresh``; if previous locks differ,
    the first accelerator in ``wanted`` takes precedence. Raises ResolutionError if there is no
    solution for all, and InputError (content-mismatch) if a locked file has changed.
    """
    return _JointResolution(wanted, views, uv, web, previous, fresh).lock()


class _JointResolution:
    """A resolution for several accelerators."""

    def __init__(
        self,
        wanted: Mapping[str, PythonInputs],
        views: Mapping[str, IndexView],
        uv: Uv,
        web: "HttpClient",
        previous: Mapping[str, PythonLock],
        fresh: Collection[str],
    ) -> None:
        self._wanted = wanted
        self._views = views
        self._uv = uv
        self._web = web
        self._fresh = fresh
        self._old = {name: _by_name(previous[name]) for name in wanted if name in previous}
        self._split = _split([views[name] for name in wanted])

    def lock(self) -> dict[str, PythonLock]:
        if len(self._wanted) == 1:
            return self._each(())
        first, *others = self._wanted
        try:
            return self._from(first)
        except ResolutionError as error:
            self._resolve_alone()
            if error.failure.kind is FailureKind.WARNING:
                raise
            reason = error
        # Indexes may have different versions: those of another index may suit all accelerators.
        for name in others if self._split else ():
            try:
                return self._from(name)
            except ResolutionError as another:
                if another.failure.kind is FailureKind.WARNING:
                    raise
        raise ResolutionError(
            f"{', '.join(self._wanted)} are incompatible, but packages that they share need one"
            f" version: {reason.findings[0].message}",
            hint="require compatible versions, or split the model",
        ) from reason

    def _from(self, first: str) -> dict[str, PythonLock]:
        """Locks with the joint versions; packages from different indexes are those of ``first``."""
        inputs = self._wanted[first]
        union = python_lock.resolve(
            inputs,
            self._views[first],
            self._uv,
            requirements=inputs.union,
            known=self._known(first),
            fresh=self._fresh,
        )
        shared = [package for package in union if package.name not in self._split]
        for packages in self._old.values():
            python_lock.refuse_changed(shared, packages)
        locks = self._each([self._pin(package) for package in union])
        findings = skew({f"pylock.{name}.toml": lock for name, lock in locks.items()})
        if findings:
            raise InputError.collect(findings)
        return locks

    def _each(self, pins: Collection[Pin]) -> dict[str, PythonLock]:
        def lock(name: str) -> PythonLock:
            return python_lock.lock(
                self._wanted[name],
                environment=name,
                view=self._views[name],
                uv=self._uv,
                web=self._web,
                known=self._known(name),
                pins=pins,
                fresh=self._fresh,
            )

        with at_once(len(self._wanted)) as pool:
            return dict(zip(self._wanted, pool.map(lock, self._wanted), strict=True))

    def _known(self, name: str) -> dict[str, PythonPackage]:
        """The locked packages that apply to the accelerator ``name``."""
        own = self._old.get(name, {})
        shared = {
            package.name: package
            for packages in reversed(self._old.values())
            for package in packages.values()
            if package.name not in self._split
        }
        return own | shared

    def _pin(self, package: ResolvedPackage) -> Pin:
        version = package.version
        return package.name, Version(version).public if package.name in self._split else version

    def _resolve_alone(self) -> None:
        """Raises the error of the first accelerator that has no solution by itself."""
        for name, inputs in self._wanted.items():
            try:
                python_lock.resolve(inputs, self._views[name], self._uv)
            except ResolutionError as error:
                raise error.within(f"accelerators.{name}") from error


def _split(views: Iterable[IndexView]) -> frozenset[str]:
    """The packages that ``views`` have from different indexes."""
    views = tuple(views)
    names = {name for view in views for name in view.owned}
    return frozenset(
        name for name in names if len({view.owned.get(name, "default") for view in views}) > 1
    )


def _by_name(lock: PythonLock) -> dict[str, PythonPackage]:
    return {package.name: package for package in lock.packages}
