"""Pictures of the written pages: one scene through the method, the diagram of the data flow, the cover."""
