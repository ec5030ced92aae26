"""From what devices say of their neighbours to a map of devices and links. Pure.

`facts` is what one device says, `match` tells which device a neighbour is, `sightings` and `forwarding` find links in
protocol tables and in forwarding tables, `build` makes the graph of a site, `routes` looks up from a device.
"""
