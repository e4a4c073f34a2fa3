"""Which places of the images validate and which train: decided once, and kept for good."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box, Triple, extent, inside, overlap, triple

Role = Literal["train", "validation"]

PLACE: Triple = (16, 64, 64)  # (z, y, x) voxels, the same grid for 2D and 3D models
GAP: Triple = (4, 8, 8)  # around a place that validates; known voxels in it neither train nor validate
SHARE, LATER_SHARE, MANY = 0.2, 0.1, 80  # of the first `MANY` places, and of those beyond
ENOUGH_PLACES, FEWEST_HELD = 6, 2  # from so many places on, at least so many validate
WHOLE_IMAGES = 10  # with so many images, new ones validate or train as a whole
SCHEMA = 1


class Place(NamedTuple):
    """A cell of the grid of an image: all time points of 16 × 64 × 64 (z, y, x) voxels."""

    image_id: str
    cell: Triple

    @property
    def box(self) -> Box:
        """Where it lies in the image; it may reach over the image's end."""
        z, y, x = (slice(i * n, (i + 1) * n) for i, n in zip(self.cell, PLACE, strict=True))
        return z, y, x

    @property
    def wide(self) -> Box:
        """The box with the gap around it; it may start before 0."""
        z, y, x = (slice(p.start - g, p.stop + g) for p, g in zip(self.box, GAP, strict=True))
        return z, y, x


@dataclass(frozen=True)
class Assignment:
    """The role of every place that ever took part in a round. Append-only: a role never changes.

    A place is decided when something is first known in it as a round starts. The grid is one for all models
    and a place holds all time points, so that neither another model nor the next frame of a movie turns what
    validates into what trains. See docs/method.md for the rules.

    Parameters
    ----------
    seed : int
        Of the work; orders places by a hash. A later change changes no role.
    blocks : mapping of Place to Role
        Places of images that are divided.
    images : mapping of str to Role
        Images that validate or train as a whole.
    groups : mapping of str to str
        Animal, slide or patient of an image, where the user named one.
    """

    seed: int = 0
    blocks: Mapping[Place, Role] = field(default_factory=dict)
    images: Mapping[str, Role] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    def role(self, place: Place) -> Role | None:
        """Return what a place does; None if it was never part of a round."""
        return self.images.get(place.image_id) or self.blocks.get(place)

    def held_out(self, image_id: str, box: Box) -> npt.NDArray[np.bool_]:
        """Return the voxels of a box that must not train, of the box's shape: what validates, and the gap around."""
        mask = np.zeros(extent(box), bool)
        if self.images.get(image_id) == "validation":
            mask[:] = True
            return mask
        for place in self._validating.get(image_id, ()):
            common = overlap(place.wide, box)
            if common is not None:
                mask[inside(common, box)] = True
        return mask

    @cached_property
    def _validating(self) -> dict[str, list[Place]]:
        found: dict[str, list[Place]] = {}
        for place, role in self.blocks.items():
            if role == "validation":
                found.setdefault(place.image_id, []).append(place)
        return found

    def with_group(self, image_id: str, name: str) -> Assignment:
        """Return an assignment in which an image belongs to a group; an empty name takes it out of its group."""
        groups = {image: group for image, group in self.groups.items() if image != image_id}
        return replace(self, groups=groups | ({image_id: name} if name else {}))

    def merged(self, other: Assignment) -> Assignment:
        """Return this assignment with the roles that only the other one knows."""
        divided = self._divided()
        images = {image_id: role for image_id, role in other.images.items() if image_id not in divided}
        return replace(self, blocks={**other.blocks, **self.blocks}, images=images | dict(self.images))

    def extended(self, places: Mapping[Place, frozenset[int]], spare: Callable[[Sequence[Place]], bool]) -> Assignment:
        """Return an assignment in which all these places have a role.

        Parameters
        ----------
        places : mapping of Place to frozenset of int
            Where something is known now, new places among them, and which classes are known there. Places with a
            class that nothing validates yet are taken first.
        spare : callable
            Gets places that are about to validate and tells whether training can do without them; True also
            takes them away from training.
        """
        new = sorted(place for place in places if self.role(place) is None)
        whole = self._whole_images(new)
        images = self._with_images(whole, new, spare)
        blocks = dict(self.blocks)
        parts = [place for place in new if place.image_id not in whole]
        held = sum(role == "validation" for role in blocks.values())
        wanted = quota(len(blocks) + len(parts))
        validated = {kind for place, kinds in places.items() if self.role(place) == "validation" for kind in kinds}
        order = {place: self._order(place) for place in parts}
        waiting = sorted(parts, key=order.__getitem__)
        while held < wanted and waiting:
            place = min(waiting, key=lambda place: (order[place][0], not places[place] - validated))
            waiting.remove(place)
            blocks[place] = "validation" if spare([place]) else "train"
            if blocks[place] == "validation":
                held += 1
                validated |= places[place]
        return replace(self, blocks=blocks | dict.fromkeys(waiting, "train"), images=images)

    def _order(self, place: Place) -> tuple[bool, float]:
        """Sort by hash; places beside one that has trained before come last, their neighbour was seen."""
        z, y, x = place.cell
        near = (Place(place.image_id, (z + a, y + b, x + c)) for a, b, c in product((-1, 0, 1), repeat=3))
        seen = any(self.blocks.get(other) == "train" for other in near)
        return seen, self._hash(f"{place.image_id}|{place.cell}")

    def _hash(self, text: str) -> float:
        digest = hashlib.sha256(f"{self.seed}|{text}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    def _whole_images(self, new: Sequence[Place]) -> list[str]:
        """Return the images that are new and, as there are enough, not to be divided."""
        divided = self._divided()
        fresh = {place.image_id for place in new} - divided
        enough = len(divided | set(self.images) | fresh) >= WHOLE_IMAGES
        return sorted(fresh, key=lambda image_id: self._hash(self._unit(image_id))) if enough else []

    def _divided(self) -> set[str]:
        return {place.image_id for place in self.blocks}

    def _unit(self, image_id: str) -> str:
        """Return what is kept together: the group of an image, or the image."""
        name = self.groups.get(image_id)
        return f"image {image_id}" if name is None else f"group {name}"

    def _with_images(
        self, whole: Iterable[str], new: Sequence[Place], spare: Callable[[Sequence[Place]], bool]
    ) -> dict[str, Role]:
        """Return the roles of whole images; those of one group have one role, and train if one of them ever did."""
        images = dict(self.images)
        units: dict[str, Role] = {}
        for image_id, role in images.items():
            units[self._unit(image_id)] = role
        # What was divided has trained, and so have its siblings.
        trained = {self._unit(place.image_id) for place, role in self.blocks.items() if role == "train"}
        trained |= {self._unit(image_id) for image_id, role in images.items() if role == "train"}
        members: dict[str, list[str]] = {}
        for image_id in whole:
            members.setdefault(self._unit(image_id), []).append(image_id)
        held = sum(role == "validation" for unit, role in units.items() if unit not in trained)
        wanted = round(SHARE * len(units.keys() | members.keys()))
        for unit, siblings in members.items():
            known = [place for place in new if place.image_id in siblings]
            validates = unit not in trained and (units.get(unit) == "validation" or (held < wanted and spare(known)))
            held += validates and unit not in units
            images |= dict.fromkeys(siblings, "validation" if validates else "train")
        return images

    def dump(self) -> dict[str, Any]:
        """Return the assignment as JSON values."""
        blocks: dict[str, dict[str, list[list[int]]]] = {}
        for place, role in sorted(self.blocks.items()):
            blocks.setdefault(place.image_id, {}).setdefault(role, []).append(list(place.cell))
        return {
            "schema": SCHEMA,
            "seed": self.seed,
            "place": list(PLACE),
            "blocks": blocks,
            "images": dict(self.images),
            "groups": dict(self.groups),
        }

    @classmethod
    def load(cls, value: Mapping[str, Any]) -> Assignment:
        """Return what `dump` returned.

        Raises
        ------
        UserError
            If it was written by a later version, or speaks of another grid.
        """
        if value.get("schema") != SCHEMA or list(value.get("place", PLACE)) != list(PLACE):
            raise UserError(
                f"The list of blocks has version {value.get('schema')} with blocks of {value.get('place')}; "
                f"expected version {SCHEMA} with blocks of {list(PLACE)}.",
                "Open the work with the version of the program that wrote it.",
            )
        blocks: dict[Place, Role] = {
            Place(image_id, triple(index)): role
            for image_id, roles in value["blocks"].items()
            for role, indices in roles.items()
            for index in indices
        }
        return cls(int(value["seed"]), blocks, dict(value["images"]), dict(value["groups"]))


def quota(n_places: int) -> int:
    """Return how many of so many places validate.

    None below `ENOUGH_PLACES`, where each is worth more to the training than to a measurement that would be too
    coarse; then at least two, one in five up to `MANY` places, and one in ten of the further ones, since a
    measurement gains little from more.
    """
    if n_places < ENOUGH_PLACES:
        return 0
    return max(FEWEST_HELD, round(SHARE * min(n_places, MANY) + LATER_SHARE * max(0, n_places - MANY)))
