"""The extraction methods that come with the package: one file each, and a line in this table."""

from __future__ import annotations

from vectorstore.extract.methods.ablation import ABLATION
from vectorstore.extract.methods.ace import ACE
from vectorstore.extract.methods.actadd import ACTADD
from vectorstore.extract.methods.bitfit import BITFIT
from vectorstore.extract.methods.caa import CAA
from vectorstore.extract.methods.cast import CAST
from vectorstore.extract.methods.cluster_mean import CLUSTER_MEAN
from vectorstore.extract.methods.gradient_target import GRADIENT_TARGET
from vectorstore.extract.methods.in_context import IN_CONTEXT
from vectorstore.extract.methods.iti import ITI
from vectorstore.extract.methods.lat import LAT
from vectorstore.extract.methods.logistic import LOGISTIC
from vectorstore.extract.methods.mean_centring import MEAN_CENTRING
from vectorstore.extract.methods.mean_difference import MEAN_DIFFERENCE
from vectorstore.extract.methods.mezo import MEZO
from vectorstore.extract.methods.model_delta import MODEL_DELTA
from vectorstore.extract.methods.pca_center import PCA_CENTER
from vectorstore.extract.methods.pca_diff import PCA_DIFF
from vectorstore.extract.methods.token_embedding import TOKEN_EMBEDDING
from vectorstore.extract.protocols import AnyMethod

BUILT_IN: dict[str, AnyMethod] = {
    method.name: method
    for method in (
        ACTADD,
        MEAN_DIFFERENCE,
        CAA,
        MEAN_CENTRING,
        CLUSTER_MEAN,
        LAT,
        PCA_CENTER,
        PCA_DIFF,
        LOGISTIC,
        ABLATION,
        ACE,
        CAST,
        ITI,
        MODEL_DELTA,
        IN_CONTEXT,
        TOKEN_EMBEDDING,
        GRADIENT_TARGET,
        BITFIT,
        MEZO,
    )
}
