//! stub
use stateright as _;
