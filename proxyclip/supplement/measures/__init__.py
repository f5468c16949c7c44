"""What several chapters and pages measure: scores, attention maps, similarities, all of it on real photographs."""
