"""What the fusion pass is made of: profiles of nodes, the judge of groups, and the groups."""
