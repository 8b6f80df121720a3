"""Adam, Muon and SOAP, and which parameters each of them updates."""
