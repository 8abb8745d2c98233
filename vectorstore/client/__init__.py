"""The client: other stores over HTTP. References to them, push, pull, sync, and lock files.

remote, credentials     which stores there are, and the tokens for them
connection, problems    requests with retries; what the service says is wrong, as errors of ours
there, library          versions as the service describes them; its calls
download, upload        bytes, which go on where a cut left them
offers, pull, push      versions with all that they need, one way and the other
sightings, remotes      what references to other stores meant; the hook for `Store.open(remotes=…)`
news, cursor, sync      the events of a namespace, how far they were followed, and following them
lock                    a file that pins what an application uses
"""
