"""The truth against a plain NumPy oracle, in any order of steps."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from napari_unet.errors import UserError
from napari_unet.learning.edits import combine
from napari_unet.learning.identity import inherit_ids
from napari_unet.learning.truth import Truth

SHAPE = (2, 2, 12, 14)


@st.composite
def places(draw):
    t = draw(st.integers(0, SHAPE[0] - 1))
    box = []
    for size in SHAPE[1:]:
        low = draw(st.integers(0, size - 1))
        box.append(slice(low, draw(st.integers(low + 1, size))))
    return t, tuple(box)


points = st.tuples(*(st.integers(0, size - 1) for size in SHAPE[1:]))
actions = st.sampled_from(["accept", "delete", "join", "split", "line", "oblique line"])


class History(RuleBasedStateMachine):
    """Only the prediction, and for each known voxel the user's value, decide what is shown."""

    @initialize(instances=st.booleans(), seed=st.integers(0, 9))
    def start(self, instances, seed):
        rng = np.random.default_rng(seed)
        self.truth = Truth(rng.integers(0, 3, SHAPE).astype(np.uint16), instances=instances, rim=1)
        self.prediction = self.truth.prediction.copy()
        self.done, self.undone = [], []
        self.states = [self.snapshot()]

    def snapshot(self):
        truth = self.truth
        return tuple(a.copy() for a in (truth.labels, truth.known, truth.changed, truth.prediction))

    def record(self, step):
        if step is not None:
            self.done.append(step)
            self.undone.clear()
            del self.states[len(self.done) :]
            self.states.append(self.snapshot())

    @rule(place=places(), value=st.integers(0, 4), whole=st.booleans(), seed=st.integers(0, 99))
    def stroke(self, place, value, whole, seed):
        t, box = place
        area = self.truth.labels[t][box]
        swept = np.ones(area.shape, bool) if whole else np.random.default_rng(seed).random(area.shape) < 0.3
        before_known = self.truth.known.copy()
        painted = self.truth.labels.copy()
        painted[t][box][swept] = value
        area[swept] = value
        step = self.truth.record_edit(t, box, swept)
        assert np.array_equal(self.truth.labels, painted)
        assert self.truth.known[t][box][swept].all()
        assert not (before_known & ~self.truth.known).any()
        if self.truth.instances:
            for number in np.unique(painted[t][box][swept]):
                if number and step is not None:
                    shared = painted[t][step.box] == number
                    assert self.truth.known[t][step.box][shared].all()
        self.record(step)

    @rule(place=places())
    def accept(self, place):
        t, box = place
        before = self.truth.labels.copy()
        self.record(self.truth.accept(t, box))
        assert self.truth.known[t][box].all()
        assert np.array_equal(before, self.truth.labels)

    @rule(t=st.integers(0, 1), first=points, second=points, action=actions)
    def act_on_object(self, t, first, second, action):
        before = self.truth.labels.copy()
        try:
            if action == "accept":
                step = self.truth.accept_object(t, first)
            elif action == "delete":
                step = self.truth.delete_object(t, first)
            elif action == "join":
                step = self.truth.join(t, [first, second])
            elif action == "split":
                step = self.truth.split(t, first, second)
            else:
                direction = (1, 0, 0) if action == "line" else (1, 0.3, -2)
                step = self.truth.split_along(t, (first, second), direction, (2, 1, 1))
        except UserError:
            assert np.array_equal(before, self.truth.labels)
            return
        other = before != self.truth.labels
        assert self.truth.known[other].all()
        self.record(step)

    @rule(places=st.lists(places(), min_size=1, max_size=3), seed=st.integers(0, 99))
    def predict(self, places, seed):
        rng = np.random.default_rng(seed)
        kept = self.truth.labels.copy()
        steps = []
        for t, box in places:
            new = rng.integers(0, 4, self.truth.labels[t][box].shape)
            if self.truth.instances:
                new = inherit_ids(new, self.truth, t, box)[new]
            self.prediction[t][box] = new
            steps.append(self.truth.write_prediction(t, box, new))
        known = self.truth.known
        assert np.array_equal(self.truth.labels[known], kept[known])
        self.record(combine(steps))

    @precondition(lambda self: self.done)
    @rule()
    def undo(self):
        step = self.done.pop()
        step.undo(self.truth)
        self.undone.append(step)
        self.check(self.states[len(self.done)])

    @precondition(lambda self: self.undone)
    @rule()
    def redo(self):
        step = self.undone.pop()
        step.redo(self.truth)
        self.done.append(step)
        self.check(self.states[len(self.done)])

    @rule()
    def there_and_back(self):
        end = self.snapshot()
        for step in reversed(self.done):
            step.undo(self.truth)
        self.check(self.states[0])
        for step in self.done:
            step.redo(self.truth)
        self.check(end)

    @rule(data=st.data())
    def undo_of_one_stroke_shows_todays_prediction(self, data):
        """A stroke taken back alone, after newer predictions, never shows an old one."""
        before = self.snapshot()
        if not self.done:
            return
        step = data.draw(st.sampled_from(self.done))
        if not hasattr(step, "after") or not hasattr(step.after, "known"):
            return
        step.undo(self.truth)
        unknown = ~self.truth.known
        assert np.array_equal(self.truth.labels[unknown], self.truth.prediction[unknown])
        self.truth.labels[:], self.truth.known[:], self.truth.changed[:], self.truth.prediction[:] = before
        self.truth.shadow[:] = before[0]
        for t in range(SHAPE[0]):
            self.truth._recount(t, tuple(slice(0, n) for n in SHAPE[1:]))

    def check(self, state):
        for ours, expected in zip(self.snapshot(), state, strict=True):
            assert np.array_equal(ours, expected)

    @invariant()
    def unknown_voxels_show_the_prediction(self):
        if not hasattr(self, "truth"):
            return
        truth = self.truth
        assert np.array_equal(truth.labels[~truth.known], truth.prediction[~truth.known])
        assert truth.n_known == truth.known.sum()
        assert not (truth.changed & ~truth.known).any()
        assert np.array_equal(truth.labels, truth.shadow)


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
