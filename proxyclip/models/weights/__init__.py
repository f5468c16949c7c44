"""Published weights in: files and hubs in the upstream formats, checked before they are used."""
