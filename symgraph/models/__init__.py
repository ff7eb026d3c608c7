"""Known networks: small functions from an input symbol to logits (or hidden states).

| function     | input             |  parameters | source                                    |
|--------------|-------------------|-------------|-------------------------------------------|
| lenet5       | [N, 1, 28, 28]    |     431,080 | LeCun et al. 1998, in Caffe's form        |
| mlp          | [N, 1, 28, 28]    |     109,386 | two hidden layers of 128 and 64           |
| alexnet      | [N, 3, 224, 224]  |  61,100,840 | Krizhevsky 2014                           |
| alexnet_2012 | [N, 3, 227, 227]  |  60,965,224 | Krizhevsky et al. 2012, two groups        |
| vgg16        | [N, 3, 224, 224]  | 138,357,544 | Simonyan and Zisserman 2015               |
| resnet18     | [N, 3, 224, 224]  |  11,689,512 | He et al. 2016                            |
| resnet50     | [N, 3, 224, 224]  |  25,557,032 | He et al. 2016                            |
| mobilenet_v2 | [N, 3, 224, 224]  |   3,504,872 | Sandler et al. 2018                       |
| densenet121  | [N, 3, 224, 224]  |   7,978,856 | Huang et al. 2017                         |
| inception_v3 | [N, 3, 299, 299]  |  23,834,568 | Szegedy et al. 2016, no auxiliary head    |
| unet         | [N, 3, 256, 256]  |   7,763,041 | Ronneberger et al. 2015, Buda et al. 2019 |
| lstm         | [N, 28, 28]       |      81,674 | Hochreiter and Schmidhuber 1997           |
| bert_encoder | [N, 128] int32    | 108,595,968 | Devlin et al. 2019, base                  |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..ir.arguments import explain_all
from ..ir.symbol import Symbol
from .densenet import densenet121
from .inception import inception_v3
from .lenet import lenet5
from .mlp import mlp
from .recurrent import lstm
from .transformer import bert_encoder
from .unet import unet
from .vision import alexnet, alexnet_2012, mobilenet_v2, resnet18, resnet50, vgg16

_FUNCTIONS: tuple[Callable[..., Symbol], ...] = (
    lenet5, mlp, alexnet, alexnet_2012, vgg16, resnet18, resnet50, mobilenet_v2, densenet121,
    inception_v3, unet, lstm, bert_encoder,
)  # fmt: skip

KNOWN: Mapping[str, Callable[..., Symbol]] = {f.__name__: f for f in _FUNCTIONS}
"""The networks by name, as the command line takes them."""

__all__ = [
    "KNOWN",
    "alexnet",
    "alexnet_2012",
    "bert_encoder",
    "densenet121",
    "inception_v3",
    "lenet5",
    "lstm",
    "mlp",
    "mobilenet_v2",
    "resnet18",
    "resnet50",
    "unet",
    "vgg16",
]

explain_all(globals(), __all__)
