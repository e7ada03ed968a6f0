//! What goes wrong on the way to a server.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::runtime::Runtime;

use crate::proxy::Fault;
use crate::proxy::Proxy;

/// Something else goes wrong on this way from here on, or nothing any more; says what. With `repeats` it may be that commands are delivered twice, which takes the protocol of Redis in the clear.
pub(crate) fn harm(network: &Proxy, chance: &mut StdRng, runtime: &Runtime, repeats: bool) -> String {
    let millis = |chance: &mut StdRng, most| Duration::from_millis(chance.random_range(0..most));
    let fault = match chance.random_range(0..12) {
        0 => Fault::Blackhole,
        1 => Fault::ResetAfter(chance.random_range(1..10_000)),
        2 => Fault::Throttle(chance.random_range(1_000..100_000)),
        3 if repeats => Fault::Duplicate(millis(chance, 500)),
        3..6 => Fault::Delay(millis(chance, 120)),
        _ => Fault::None,
    };
    match (chance.random_range(0..3), fault) {
        (_, Fault::None) => {
            runtime.block_on(network.heal());
            "both ways are well".to_owned()
        }
        (0, Fault::Blackhole) => {
            runtime.block_on(network.refuse());
            network.cut();
            "connections are refused".to_owned()
        }
        (0, fault) | (_, fault @ Fault::Duplicate(_)) => {
            network.to_server(fault);
            format!("the way there has {fault:?}")
        }
        (1, fault) => {
            network.to_client(fault);
            format!("the way back has {fault:?}")
        }
        (_, fault) => {
            network.both(fault);
            format!("both ways have {fault:?}")
        }
    }
}
