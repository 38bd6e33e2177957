//! Where packets to an address go next, on the wire of an interface: the kernel's routes and neighbour table, asked over
//! rtnetlink (rtnetlink(7)).
//!
//! It sends nothing itself. The kernel is asked to find out what it does not know, as it does for its own packets, by ARP or
//! neighbour discovery. Its unit of work is an address.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourHeader, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::interface::Interface;
use super::port::PortError;

/// What is known of the way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// The MAC address of the router, or of the address itself.
    Known([u8; 6]),
    /// Who is next, the router or the address itself, has not answered yet.
    Unanswered(IpAddr),
    /// Who is next is not known, and this process may not have the kernel ask: that takes the right `cap_net_admin`.
    Unasked(IpAddr),
    /// The interface has no route there.
    NoRoute,
}

/// Next hops out of an interface.
pub struct NextHops {
    interface: Interface,
    socket: Socket,
    /// Number of the last request: an answer to an earlier one, that came too late, is not taken for this one's.
    number: u32,
}

impl NextHops {
    /// Those out of an interface.
    ///
    /// # Errors
    /// When the system has no socket for it.
    pub fn new(interface: &Interface) -> Result<Self, PortError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        };
        match open() {
            Ok(socket) => Ok(Self { interface: interface.clone(), socket, number: 0 }),
            Err(source) => Err(Self::failed(interface, source)),
        }
    }

    /// The next hop to an address. One that is not known, or that has long not been heard of, is being asked for
    /// afterwards.
    ///
    /// # Errors
    /// When the kernel does not answer as it must.
    pub fn find(&mut self, address: IpAddr) -> Result<NextHop, PortError> {
        self.ask(address).map_err(|source| Self::failed(&self.interface, source))
    }

    fn failed(interface: &Interface, source: io::Error) -> PortError {
        PortError::Io { name: interface.name().to_owned(), action: "ask for next hops", source }
    }

    fn ask(&mut self, address: IpAddr) -> io::Result<NextHop> {
        let Some(Way { next, is_routed }) = self.route(address)? else { return Ok(NextHop::NoRoute) };
        let (mac, state) = self.neighbour(next)?;
        let is_valid = matches!(
            state,
            NeighbourState::Reachable
                | NeighbourState::Stale
                | NeighbourState::Delay
                | NeighbourState::Probe
                | NeighbourState::Noarp
                | NeighbourState::Permanent
        );
        let is_asked = (is_valid && state != NeighbourState::Stale) || self.probe(next)?;
        Ok(match mac.filter(|_| is_valid) {
            Some(mac) => NextHop::Known(mac),
            None if !is_routed => NextHop::NoRoute,
            None if is_asked => NextHop::Unanswered(next),
            None => NextHop::Unasked(next),
        })
    }

    /// Who is next on the way to an address out of this interface.
    fn route(&mut self, address: IpAddr) -> io::Result<Option<Way>> {
        let mut route = RouteMessage::default();
        route.header = RouteHeader {
            address_family: family(address),
            destination_prefix_length: if address.is_ipv4() { 32 } else { 128 },
            // So that the answer names the table which has the route.
            flags: if address.is_ipv4() { RouteFlags::LookupTable } else { RouteFlags::empty() },
            ..RouteHeader::default()
        };
        route.attributes = vec![
            RouteAttribute::Destination(RouteAddress::from(address)),
            RouteAttribute::Oif(self.interface.index().cast_unsigned()),
        ];
        let route = match self.request(RouteNetlinkMessage::GetRoute(route), 0)? {
            Ok(Some(RouteNetlinkMessage::NewRoute(route))) => route,
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            // No route, or one that ends here.
            Err(_) => return Ok(None),
        };
        let gateway = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => Some(IpAddr::V4(*gateway)),
            RouteAttribute::Gateway(RouteAddress::Inet6(gateway)) => Some(IpAddr::V6(*gateway)),
            // A router of the other family (RFC 5549).
            RouteAttribute::Via(netlink_packet_route::route::RouteVia::Inet6(gateway)) => Some(IpAddr::V6(*gateway)),
            RouteAttribute::Via(netlink_packet_route::route::RouteVia::Inet(gateway)) => Some(IpAddr::V4(*gateway)),
            _ => None,
        });
        // Without a route, Linux takes any IPv4 address for one on the wire that it was asked about, and no table has it.
        let is_routed = !address.is_ipv4() || route.header.table != RouteHeader::RT_TABLE_UNSPEC;
        Ok(Some(Way { next: gateway.unwrap_or(address), is_routed }))
    }

    /// What the neighbour table has of an address on the interface's wire.
    fn neighbour(&mut self, address: IpAddr) -> io::Result<(Option<[u8; 6]>, NeighbourState)> {
        let message = RouteNetlinkMessage::GetNeighbour(self.entry(address, NeighbourFlags::empty()));
        match self.request(message, 0)? {
            Ok(Some(RouteNetlinkMessage::NewNeighbour(entry))) => {
                let mac = entry.attributes.iter().find_map(|attribute| match attribute {
                    NeighbourAttribute::LinkLayerAddress(mac) => mac[..].try_into().ok(),
                    _ => None,
                });
                Ok((mac, entry.header.state))
            }
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            // There is no entry.
            Err(_) => Ok((None, NeighbourState::None)),
        }
    }

    /// Has the kernel find out whether an address is there; whether this process may is returned.
    fn probe(&mut self, address: IpAddr) -> io::Result<bool> {
        let entry = self.entry(address, NeighbourFlags::Use);
        let answer = self.request(RouteNetlinkMessage::NewNeighbour(entry), NLM_F_CREATE | NLM_F_REPLACE)?;
        Ok(!answer.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied))
    }

    fn entry(&self, address: IpAddr, flags: NeighbourFlags) -> NeighbourMessage {
        let mut entry = NeighbourMessage::default();
        let ifindex = self.interface.index().cast_unsigned();
        entry.header = NeighbourHeader { family: family(address), ifindex, flags, ..NeighbourHeader::default() };
        entry.attributes = vec![NeighbourAttribute::Destination(match address {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        })];
        entry
    }

    /// Asks the kernel, and yields its answer; none when it is only that it was done. Within is what the kernel refuses.
    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Result<Option<RouteNetlinkMessage>, io::Error>> {
        let mut request = NetlinkMessage::from(message);
        // Without an acknowledgement, what has no answer would have none.
        let ack = if flags == 0 { 0 } else { netlink_packet_core::NLM_F_ACK };
        request.header.flags = NLM_F_REQUEST | flags | ack;
        self.number = self.number.wrapping_add(1);
        request.header.sequence_number = self.number;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let answer = loop {
            let (answer, _) = self.socket.recv_from_full()?;
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            if answer.header.sequence_number == self.number {
                break answer;
            }
        };
        match answer.payload {
            NetlinkPayload::InnerMessage(answer) => Ok(Ok(Some(answer))),
            NetlinkPayload::Error(error) if error.code.is_some() => Ok(Err(error.to_io())),
            NetlinkPayload::Error(_) => Ok(Ok(None)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The way to an address.
struct Way {
    /// The router, or the address itself.
    next: IpAddr,
    /// Whether a route says so.
    is_routed: bool,
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
