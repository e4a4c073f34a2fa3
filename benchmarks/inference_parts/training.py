"""Weights that know something: ``python -m inference_parts.training TASK FILE``.

Untrained networks give near ties, for which any difference in rounding changes labels. A minute of training on the
benchmark's own blobs is enough for answers that are clear.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

STEPS, BATCH = 80, 4
EDGE = {2: 64, 3: 32}


def main(task_name: str, path: str) -> None:
    """Train a task's network on a small image of its own and write the weights."""
    from inference_parts.contenders import TASKS

    task = TASKS[task_name]
    edge = tuple(min(n, EDGE[len(task.roi)]) for n in task.roi)
    image, truth = task.blobs(tuple(3 * n for n in edge), seed=1)
    network, rng = task.network(), np.random.default_rng(0)
    optimizer = torch.optim.Adam(network.train().parameters(), 2e-3)
    for _ in range(STEPS):
        corners = [[int(rng.integers(n - e + 1)) for n, e in zip(image.shape, edge, strict=True)] for _ in range(BATCH)]
        places = [tuple(slice(c, c + e) for c, e in zip(corner, edge, strict=True)) for corner in corners]
        x = torch.from_numpy(np.stack([image[place] for place in places]))[:, None]
        y = torch.from_numpy(np.stack([truth[place] for place in places]))
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(x)
        torch.nn.functional.cross_entropy(logits.float(), y).backward()
        optimizer.step()
    torch.save(network.state_dict(), path)


if __name__ == "__main__":
    main(*sys.argv[1:])
