# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Keep a similarity matrix in a file, together with where it came from."""

import json
import zipfile
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np

from espnet_prune.utils import PathLike, UserError, atomic_write

SYMMETRY = 1e-6
_UNREADABLE = (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile)


def save_matrix(path: PathLike, matrix: np.ndarray, **provenance: Any) -> None:
    """Write a similarity matrix, atomically.

    Args:
        path: An .npz file.
        matrix: (N+1, N+1).
        provenance: What can be written as JSON: model file and its sha256, measure,
            mode, samples, utterances, versions.

    Raises:
        UserError: The matrix is not one that `load_matrix` would take.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    _check(matrix, Path(path), None)
    with atomic_write(path, "wb") as stream:
        np.savez(stream, matrix=matrix, provenance=np.array(json.dumps(provenance)))


def load_matrix(
    path: PathLike, num_layers: Optional[int] = None
) -> Tuple[np.ndarray, Dict[str, Any]]:
    """Read a similarity matrix; nothing in the file is run.

    Args:
        path: An .npz file of `save_matrix`, or an .npy file of the bare matrix.
        num_layers: N of the encoder that the matrix is for.

    Returns:
        The matrix (N+1, N+1) in float64, and its provenance, empty for an .npy file.

    Raises:
        UserError: The file is missing or unreadable, or the matrix is not square, has
            another size than `num_layers` asks for, is not finite or not symmetric.
    """
    path = Path(path)
    provenance: Any = {}
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; espnet_prune.bin.similarity writes such matrices"
        )
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            matrix = content
        else:
            with content:
                matrix = content["matrix"]
                if "provenance" in content.files:
                    provenance = json.loads(content["provenance"].item())
        matrix = matrix.astype(np.float64)
    except (OSError, *_UNREADABLE) as e:
        raise UserError(
            f"{path}: not a readable similarity matrix ({type(e).__name__}); give an "
            ".npz file of espnet_prune.bin.similarity or an .npy file of numbers"
        ) from e
    _check(matrix, path, num_layers)
    return matrix, provenance if isinstance(provenance, dict) else {}


def _check(matrix: np.ndarray, path: Path, num_layers: Optional[int]) -> None:
    shape = " x ".join(map(str, matrix.shape))
    again = "measure it again with espnet_prune.bin.similarity"
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise UserError(
            f"{path}: the similarity matrix is not square ({shape}); it needs one row "
            "and one column for the input of block 1 and for the output of each block"
        )
    if len(matrix) < 2:
        raise UserError(
            f"{path}: the similarity matrix is {shape}, which is no block at all; "
            "2 x 2 is the smallest, for one block"
        )
    if num_layers is not None and len(matrix) != num_layers + 1:
        size = num_layers + 1
        raise UserError(
            f"{path}: the similarity matrix is {shape}, which fits {len(matrix) - 1} "
            f"blocks, but the encoder has {num_layers} and needs {size} x {size}; "
            f"{again}"
        )
    if not np.isfinite(matrix).all():
        a, b = np.argwhere(~np.isfinite(matrix))[0]
        raise UserError(
            f"{path}: the similarity matrix has a NaN or infinite value at [{a}, {b}]; "
            f"{again}"
        )
    gap = np.abs(matrix - matrix.T)
    if gap.max() > SYMMETRY:
        a, b = np.unravel_index(int(gap.argmax()), gap.shape)
        raise UserError(
            f"{path}: the similarity matrix is not symmetric: [{a}, {b}] is "
            f"{matrix[a, b]:.6g} and [{b}, {a}] is {matrix[b, a]:.6g}; {again}"
        )
