"""The referees: pandapower, OpenDSS of feeders with phases, their replay of a record, and a second opinion."""
