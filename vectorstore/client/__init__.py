"""The client: other stores over HTTP. References to them, push, pull, sync, and lock files.

files, remote, credentials          what is kept in STEER_HOME: which stores there are, and the tokens for them
patience, problems, connection      requests, tried again where that helps; what is wrong, as errors of ours
there, things, library              versions as the service describes them, and its calls
download, upload                    bytes, which go on where a cut left them
offers, pull, push                  versions with all that they need, one way and the other
sightings, remotes                  what references to other stores meant; for `Store.open(remotes=…)`
cursor, news, sync, synced          the events of a namespace, followed
lock                                a file that pins what an application uses
"""
