// Encodes messages with the classes of kafka-clients: reads lines of name, version and JSON, prints name, version and hex.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;

class Encode {
    public static void main(String[] args) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line; (line = lines.readLine()) != null;) {
            String[] parts = line.split(" ", 3);
            short version = Short.parseShort(parts[1]);
            boolean format = parts[0].startsWith("ConsumerProtocol");
            String name = "org.apache.kafka.common.message." + parts[0] + (format ? "" : "Data");
            Message message = (Message) Class.forName(name + "JsonConverter")
                .getMethod("read", JsonNode.class, short.class)
                .invoke(null, mapper.readTree(parts[2]), version);
            ByteBuffer bytes = MessageUtil.toByteBufferAccessor(message, version).buffer();
            byte[] out = new byte[bytes.remaining()];
            bytes.get(out);
            System.out.println(parts[0] + " " + version + " " + HexFormat.of().formatHex(out));
        }
    }
}
