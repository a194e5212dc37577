"""Values as text and pictures: formats, charts, the topology, Graphite."""
