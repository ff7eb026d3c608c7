"""Data for examples and tests: small image sets, files of arrays, and a batch iterator.

Owns reading and cutting of arrays; depends on numpy alone (scikit-learn and h5py where used).
"""

from ..ir.arguments import explain_all
from .batches import Batches
from .dataset import Dataset, Splits
from .errors import DataError
from .files import load_hdf5, load_npz
from .idx import read_idx
from .images import digits, mnist

__all__ = [
    "Batches",
    "DataError",
    "Dataset",
    "Splits",
    "digits",
    "load_hdf5",
    "load_npz",
    "mnist",
    "read_idx",
]

explain_all(globals(), __all__)
