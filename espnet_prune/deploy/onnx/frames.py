# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Which frames of a padded batch are real, for all that mixes frames.

ESPnet's blocks are run without a mask; every module that mixes frames is replaced by
one that asks here. So the blocks of all releases give the same graph, in which nothing
reads what stands beside an utterance: each row of a batch equals the utterance alone.
"""

import copy
from typing import Any, Callable, Dict, Sequence, Tuple

import torch
from torch import nn

MINUS = -1e9  # added to the scores of frames that are not real
BLOCKS = 4  # of queries; see `RelativeAttention`


class Frames:
    """What is known of the frames of a batch, set anew in every pass.

    Attributes:
        real: 1.0 at real frames, else 0.0; (N, T, 1).
        bias: 0.0 at real frames, else a large negative number; (N, 1, 1, T).
        lengths: How many are real; (N,).
        count: T.
        step: Queries of a block.
        windows: For each block begin and end of its positions among all.
    """

    real: torch.Tensor
    bias: torch.Tensor
    lengths: torch.Tensor
    count: Any
    step: Any
    windows: Sequence[Tuple[Any, Any]]

    def set(self, count: Any, lengths: torch.Tensor) -> None:
        """Take a batch of rows of `count` frames, of which `lengths` (N,) are real."""
        self.count, self.lengths = count, lengths
        self.step = step = (count + BLOCKS - 1) // BLOCKS
        begins = [i * step for i in reversed(range(BLOCKS))]
        self.windows = [(begin, begin + step + count) for begin in begins]
        real = torch.arange(count) < lengths[:, None]
        self.real = real[..., None].float()
        self.bias = torch.where(real, 0.0, MINUS)[:, None, None]


class RealConv(nn.Module):
    """A convolution over frames that reads zeros where none is real.

    Args:
        conv: The convolution, on (N, C, T).
        frames: Of the batch.
    """

    def __init__(self, conv: nn.Module, frames: Frames) -> None:
        super().__init__()
        self.conv, self.frames = conv, frames

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution of x (N, C, T)."""
        return self.conv(x * self.frames.real.transpose(1, 2))


class Pooling(nn.Module):
    """Scores of frames for a weighted mean, by a Linear, out of reach where not real.

    Args:
        linear: From C to 1.
        frames: Of the batch.
    """

    def __init__(self, linear: nn.Module, frames: Frames) -> None:
        super().__init__()
        self.linear, self.frames = linear, frames

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores (N, T, 1) of x (N, T, C)."""
        return self.linear(x) + self.frames.bias[:, 0].transpose(1, 2)


class _Reshaped(torch.autograd.Function):
    """A reshape of which the file says what is known: 0 keeps a size, -1 is the rest.

    torch would work out every size from the input, by five nodes each.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, shape: Tuple[int, ...]) -> torch.Tensor:
        return x.reshape([x.size(i) if n == 0 else n for i, n in enumerate(shape)])

    @staticmethod
    def symbolic(graph: Any, x: Any, shape: Tuple[int, ...]) -> Any:
        sizes = graph.op("Constant", value_t=torch.tensor(shape))
        return graph.op("Reshape", x, sizes).setType(
            x.type().with_sizes([n if n > 0 else None for n in shape])
        )


def reshaped(x: torch.Tensor, *shape: int) -> torch.Tensor:
    """Return x in a shape: 0 keeps the size in this place, -1 is the rest.

    One of them is -1; torch does not know what to do with zeros alone.
    """
    return _Reshaped.apply(x, shape)


def plain_conv(conv: nn.Module) -> nn.Conv1d:
    """Return a Conv1d without weight norm; the old one stays as it is.

    Removing a parametrisation from a copy would break the original, whose class it
    shares.
    """
    names = "in_channels out_channels kernel_size stride padding dilation groups"
    new = nn.Conv1d(
        **{name: getattr(conv, name) for name in names.split()},
        bias=conv.bias is not None,
    )
    new.weight.data = conv.weight.detach()
    if conv.bias is not None:
        new.bias.data = conv.bias.detach()
    return new


Maker = Tuple[Any, Callable[[Any, Frames], nn.Module]]


def rewritten(module: nn.Module, frames: Frames, makers: Sequence[Maker]) -> nn.Module:
    """Return a module of which parts are replaced; it shares the weights of the rest.

    Args:
        module: Any; it is left as it is.
        frames: What the parts that mix frames ask.
        makers: Classes, and what makes the replacement; the first that fits is taken.
    """
    make = next((make for kinds, make in makers if isinstance(module, kinds)), None)
    if make is not None:
        return make(module, frames)
    children: Dict[str, Any] = {
        name: child if child is None else rewritten(child, frames, makers)
        for name, child in module._modules.items()
    }
    if all(children[name] is child for name, child in module._modules.items()):
        return module
    view = copy.copy(module)
    view._modules = children
    return view


def _real_conv(conv: nn.Conv1d, frames: Frames) -> nn.Module:
    """Return a convolution for export; one over a single frame mixes none."""
    return conv if conv.kernel_size[0] == 1 else RealConv(plain_conv(conv), frames)


CONVS: Sequence[Maker] = ((nn.Conv1d, _real_conv),)
