"""Steering vectors: compute, store, compose and hook them into Hugging Face models.

The rooms, from the bottom up. Imports go downward only; torch lives in
`models`, `hooks`, `extract` and `evaluate` alone.

    errors, canonical, settings     one exception family; canonical JSON and digests; where the library is
    coefficient, preset, identity   a number with its unit; a named coefficient; which model a vector belongs to
    vector, pairs, card             directions by (site, layer); contrast pairs; what the computation fixed
    codec, manifest                 the bytes of a vector and of a version, and every check on foreign bytes
    reference, expression, parser   the language: how a version is named; the syntax tree; text to tree
    functions, recipe               the language's functions; an expression with every reference pinned
    store                           database, blobs, versions: the only room that commits
    accounts                        users, namespaces, rights, tokens, review, webhooks: a library that teams share
    transfer, client                bundles and OCI registries; remotes, push, pull, sync
    part, plan, compose             (store, expression) to an ordered list of steps
    models                          load a causal language model, find its layers and sites, say which model it is
    hooks                           record activations; steer a model by a plan
    extract                         extraction methods, their registry, and `compute`
    service                         a library over HTTP
    evaluate                        what a plan does to a model, beside norm-matched random controls

Modules are the API: import from them directly, for example `from vectorstore.store import Store`.
"""

__version__ = "0.1.0"
