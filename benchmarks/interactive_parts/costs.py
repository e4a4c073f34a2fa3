"""What a person's actions cost, in seconds, and where the numbers come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """Seconds for what a person does.

    Parameters
    ----------
    stroke_speed : float
        Screen pixels a second of a brush: 400, as RootPainter's ``sim_benchmark`` has it. One screen pixel is one
        image pixel.
    travel_speed : float
        Of the pointer between two strokes; an assumption: twice as fast as painting.
    pen_down : float
        To put the brush down and lift it; an assumption.
    decide : float
        To find the next place or class: 1.35 s, the mental preparation M of the keystroke-level model (Card, Moran
        and Newell, "The keystroke-level model for user performance time with interactive systems", CACM 23, 1980).
    key : float
        To change class or brush by a key: 0.2 s, K of an average typist there.
    accept, delete : float
        One object: to point (P = 1.1 s there) and press a key; to delete, a little to be sure.
    join, split : float
        Two points each, and a decision.
    outline : float
        To begin and close the outline of a new object, beside drawing it at `stroke_speed`.
    accept_view : float
        To look over a view and accept it, beside `verify` for each object in it.
    verify : float
        To verify one object: about five a second's look.
    image, plane : float
        To open another image and find one's way; to scroll by one plane. Assumptions.
    """

    stroke_speed: float = 400.0
    travel_speed: float = 800.0
    pen_down: float = 0.5
    decide: float = 1.35
    key: float = 0.2
    accept: float = 1.2
    delete: float = 1.5
    join: float = 3.0
    split: float = 3.0
    outline: float = 1.0
    accept_view: float = 4.0
    verify: float = 0.2
    image: float = 3.0
    plane: float = 0.1

    def stroke(self, length: float, travelled: float) -> float:
        """Return the seconds of a stroke of `length` px that begins `travelled` px away."""
        return self.pen_down + travelled / self.travel_speed + length / self.stroke_speed
