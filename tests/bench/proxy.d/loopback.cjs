// Loaded before the gateway, which would listen on all addresses and has no option for one.
const { Server } = require("node:net");

const { listen } = Server.prototype;
Server.prototype.listen = function (port, host, ...rest) {
    return typeof port === "number" ? listen.call(this, port, "127.0.0.1", ...rest) : listen.call(this, port, host, ...rest);
};
