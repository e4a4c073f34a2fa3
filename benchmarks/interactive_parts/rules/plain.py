"""The product's trainer alone, without session, decision or memory of earlier rounds: for experiments."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from interactive_parts.rules.base import Outcome, Rule, load, predictor_of
from interactive_parts.work import Work


class Plain(Rule):
    """Trains a copy of the current checkpoint on everything known and always takes the result."""

    name: ClassVar[str] = "plain"
    options: ClassVar[dict[str, object]] = {}  # fields of TrainSettings
    hold_back: ClassVar[bool] = True

    def begin(self, work: Work) -> None:
        """Load the starting checkpoint."""
        super().begin(work)
        self.checkpoint = load(self.task, self.seed)

    def round(self, work: Work, seconds: float) -> Outcome:
        """Train for the seconds given."""
        from napari_unet.image.normalize import measure
        from napari_unet.inference.channels import matched_source
        from napari_unet.learning.samples import Split, hold_back, known_regions
        from napari_unet.learning.settings import TrainSettings
        from napari_unet.learning.trainer import Trainer

        header = self.checkpoint.header
        regions = []
        for known in work.snapshot():
            source, _ = matched_source(known.source, header)
            statistics = measure(source, header.normalization)
            regions += known_regions(
                source,
                statistics,
                header.normalization,
                known.labels[None].astype(np.int32),
                known.known[None],
                image_id=known.source.name,
                ndim=header.ndim,
                changed=known.changed[None],
            )
        settings = TrainSettings(seconds=seconds, seed=self.seed, device="cpu", **self.options)  # type: ignore[arg-type]
        split = Split(tuple(regions), (), ())
        if self.hold_back:
            split = hold_back(regions, header.ndim, self.seed, header.output)
        trainer = Trainer(self.checkpoint, split.training, split.validation, settings)
        for _ in trainer.run():
            pass
        result = trainer.result
        self.checkpoint = replace(result.checkpoint)
        self.current = predictor_of(self.checkpoint)
        return Outcome("adopt", self.current, result.steps, result.decision.verdict)
