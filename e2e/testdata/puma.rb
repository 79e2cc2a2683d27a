# Told to go, puma closes the connections in its queue that it has accepted and of
# which nothing has come yet. Without that queue a thread waits for the request of
# each and answers it.
queue_requests false
