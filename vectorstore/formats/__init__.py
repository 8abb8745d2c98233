"""Formats: other people's files in, our own blobs in and out.

tensor_file     what a file holds: named arrays, and the digest of its bytes; which reader reads which file
numpy_file      .npy and .npz
safetensors_file  any tool's .safetensors
torch_file      .pt, .pth and .bin, by weights-only loading: the one reader that imports torch, when it is needed
keys            which layer and site a tensor's name means
picking, placing  which tensors of a file are meant, and where in a model they belong
known_model     what a card says of a model, from another card; `measured` takes it from the model itself
import_file     a file to a vector and its card
sae_file, sae   one feature of a sparse autoencoder's decoder, of files of any size; as a vector and its card
export_file     a version's blob to a file, byte for byte
"""

from vectorstore.formats.export_file import export_file
from vectorstore.formats.import_file import import_file
from vectorstore.formats.known_model import KnownModel
from vectorstore.formats.sae import import_feature
from vectorstore.formats.tensor_file import read_tensors

__all__ = ["KnownModel", "export_file", "import_feature", "import_file", "read_tensors"]
