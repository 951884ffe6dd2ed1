"""Who is who: keys, site passes, the centre's authority, sealed payloads, signed documents and the audit log."""
