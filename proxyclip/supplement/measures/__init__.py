"""What several chapters and pages measure: attention maps, similarities, both on real photographs."""
