"""The locks of a target's accelerators: resolved as one, so that what they share is the same.

First the requirements of all together, then those of each under the versions that came out. What
two accelerators share has one version and one wheel, so their images share its layer. A package
that they have from different indexes has one public version: its builds differ, as they must.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from packaging.version import Version

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.effects.python.index_views import IndexView
from mpbuild.effects.python.uv import WARNING, Pin, ResolvedPackage, Uv
from mpbuild.effects.threads import at_once
from mpbuild.formats.python.pylock import PythonLock, PythonPackage
from mpbuild.locks.python_inputs import PythonInputs
from mpbuild.locks.skew import skew
from mpbuild.resolve import python_lock

if TYPE_CHECKING:
    from mpbuild.effects.http.client import HttpClient

_NO_SOLUTION = Code.SPEC_INVALID


def lock(
    wanted: Mapping[str, PythonInputs],
    *,
    views: Mapping[str, IndexView],
    uv: Uv,
    web: "HttpClient",
    previous: Mapping[str, PythonLock],
    fresh: Collection[str] = (),
) -> dict[str, PythonLock]:
    """Resolve the inputs of all accelerators, each as its view shows the indexes.

    Versions of ``previous`` stay where they can unless named in ``fresh``; where previous locks
    differ, the accelerator that comes first in ``wanted`` counts. Raises InputError where there
    is no solution for all, and (content-mismatch) where a file of ``previous`` has other bytes
    today.
    """
    return _Together(wanted, views, uv, web, previous, fresh).lock()


class _Together:
    """One resolution of several accelerators."""

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
        except InputError as error:
            if error.findings[0].code not in (_NO_SOLUTION, WARNING):
                raise
            self._blame()
            if error.findings[0].code == WARNING:
                raise
            reason = error
        # Which versions there are may differ between indexes: perhaps another's are for all.
        for name in others if self._split else ():
            try:
                return self._from(name)
            except InputError as error:
                if error.findings[0].code != _NO_SOLUTION:
                    raise
        raise InputError(
            f"{', '.join(self._wanted)} exclude each other, and what they share must have one"
            f" version: {reason.findings[0].message}",
            hint="choose versions that agree, or make a model of its own for one of them",
        ) from reason

    def _from(self, first: str) -> dict[str, PythonLock]:
        """The locks under the versions of all together, with what only differs as ``first``'s."""
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
        """What is locked already, as ``name`` is to see it."""
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

    def _blame(self) -> None:
        """Raise the error of the first accelerator that can't even be resolved alone."""
        for name, inputs in self._wanted.items():
            try:
                python_lock.resolve(inputs, self._views[name], self._uv)
            except InputError as error:
                raise error.within(f"accelerators.{name}") from error


def _split(views: Iterable[IndexView]) -> frozenset[str]:
    """The packages that not all of ``views`` have from one index."""
    views = tuple(views)
    names = {name for view in views for name in view.owned}
    return frozenset(
        name for name in names if len({view.owned.get(name, "default") for view in views}) > 1
    )


def _by_name(lock: PythonLock) -> dict[str, PythonPackage]:
    return {package.name: package for package in lock.packages}
