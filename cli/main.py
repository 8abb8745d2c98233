"""`steer`: the table of all commands. Each is loaded only when it is asked for, so that help and lists answer at once.

A new command is a file with a `Command` in it, and a line in this table: its module and attribute, its short help as it
stands there (a test compares them), and whether loading it takes long because it needs torch.
"""

from __future__ import annotations

import click

import vectorstore

from .group import Entry, RootGroup

COMMANDS = {
    "init": Entry("init:init", "Create or open the library; safe to repeat."),
    "demo": Entry("demo:demo", "Take the tour, on real weights.", slow=True),
    "compute": Entry("compute:compute", "Compute a steering vector from contrast pairs, and save it.", slow=True),
    "list": Entry("catalogue:list_versions", "List the newest version of every name."),
    "show": Entry("show:show", "Show all that is known about a version."),
    "history": Entry("catalogue:history", "List all versions of a name."),
    "similar": Entry("similar:similar", "Find the vectors that point nearest to a version's."),
    "diff": Entry("diff:diff", "Show in what two versions differ."),
    "import": Entry("import_:import_file", "Save a vector of another tool, or one that `steer export` wrote."),
    "export": Entry("export:export", "Write a vector to a file, byte for byte as the library keeps it."),
    "bundle": Entry("bundle:bundle", "Carry versions with all that they need to another library."),
    "remote": Entry("remote:remote", "Add, list or remove the stores of others: acme in acme//team/love."),
    "login": Entry("login:login", "Keep the token for a remote."),
    "logout": Entry("login:logout", "Forget the token for a remote."),
    "push": Entry("push:push", "Send versions to a remote, with all that they need."),
    "pull": Entry("pull:pull", "Bring versions of a remote in, with all that they need."),
    "sync": Entry("sync:sync", "Follow what happens in a namespace of a remote."),
    "protection": Entry("protection:protection", "Let only maintainers of a remote move an alias, such as prod."),
    "proposal": Entry("proposal:proposal", "Decide the wishes to move a protected alias of a remote."),
    "webhook": Entry("webhook:webhook", "Have a URL told of what happens in a namespace of a remote."),
    "lock": Entry("lock:lock", "Pin all that expressions need in a file."),
    "compose": Entry("compose:compose", "Show what an expression does to each layer; save it as a recipe."),
    "generate": Entry("generate:generate", "Generate text with a model that is steered.", slow=True),
    "bake": Entry("bake:bake_model", "Write an expression into a model's weights for plain transformers.", slow=True),
    "score": Entry("score:score", "Say how far texts lie along a direction; nothing is steered.", slow=True),
    "alias": Entry("alias:alias", "Set or remove aliases of versions, such as love@prod."),
    "preset": Entry("preset:preset", "Set or remove presets: named coefficients, such as love:strong."),
    "label": Entry("label:label", "Set or remove labels, such as topic=weddings."),
    "describe": Entry("description:describe", "Describe a version anew."),
    "yank": Entry("yank:yank", "Withdraw a version; what names or pins it outright still gets it."),
    "deprecate": Entry("deprecate:deprecate", "Tell whoever uses a version why they should no longer."),
    "restore": Entry("yank:restore", "Take the yank of a version back."),
    "delete": Entry("delete:delete", "Delete a version for good; its number never means anything else."),
    "lineage": Entry("lineage:lineage", "Show what a version is made of, and what uses it."),
    "audit": Entry("audit:audit", "List what was changed, when and by whom; oldest first."),
    "recompute": Entry(
        "recompute:recompute", "Compute a version again from its card, and say whether it agrees.", slow=True
    ),
    "methods": Entry("methods:methods", "List the extraction methods and their options.", slow=True),
    "datasets": Entry("datasets:datasets", "List the contrast pairs that ship with it, or check a file."),
    "serve": Entry("serve:serve", "Serve the library over HTTP."),
    "user": Entry("user:user", "Add users of a library that a service shares, or shut them out."),
    "token": Entry("token:token", "Make what users of a shared library sign in with, or revoke it."),
    "namespace": Entry("namespace:namespace", "Make namespaces of a shared library, and say who may do what."),
    "gc": Entry("gc:gc", "Free the bytes of deleted versions and unfinished saves."),
    "fsck": Entry("fsck:fsck", "Check that the library is sound; list what is not."),
    "db": Entry("db:db", "Upgrade, check, back up, restore or rebuild the library."),
}


@click.group(cls=RootGroup, entries=COMMANDS, name="steer", epilog="Example:  steer compute --help")
@click.version_option(vectorstore.__version__, "--version", message="steer %(version)s")
def main() -> None:
    """Compute, store and compose steering vectors, and steer language models with them.

    Every command takes --json for programs, and --database and --blobs for another library than your own
    (STEER_DATABASE_URL, STEER_BLOBS_URL, STEER_HOME).
    """
